"""What an entry of the indicator catalogue says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from indicators.arrays import Floats
from indicators.candles import CandleGrid

Family = Literal["trend", "momentum", "volatility", "volume"]
Start = Literal["window", "day", "week"]
Parameters = Mapping[str, int | float]
Compute = Callable[["Columns"], Sequence[Floats]]


@dataclass(frozen=True)
class Columns:
    """Candles of one market, oldest first; unbroken except where an indicator counts from midnight."""

    grid: CandleGrid
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True)
class IndicatorSpec:
    """One indicator: how to ask for it and how to read it."""

    name: str
    """Asking for it gives every output; asking for one of `outputs` gives that alone."""
    family: Family
    parameters: Parameters
    units: str
    warm_up: int
    """Candles after which older ones change the value by less than 1e-9 of their distance from it."""
    value_range: tuple[float, float] | None
    description: str
    outputs: tuple[str, ...]
    compute: Compute
    start: Start = "window"
    """Where its candles begin: `window`, `warm_up` candles back; `day`, midnight UTC; `week`, Monday 00:00 UTC.

    A hole starts `window` and `week` anew; `day` goes on over it with the candles there are.
    """
