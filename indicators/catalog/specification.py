"""Specification of an entry of the indicator catalogue."""

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
    """Candles of one market, oldest first, as one array per column.

    They have no holes, except where an indicator counts from midnight.
    """

    grid: CandleGrid
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True)
class IndicatorSpec:
    """One indicator: its name, parameters, outputs and computation."""

    name: str
    """Requesting it gives every output; requesting one of `outputs` gives that alone."""
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

    A hole restarts `window` and `week`; `day` continues with the candles that exist.
    """
