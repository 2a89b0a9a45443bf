"""What an entry of the indicator catalogue says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from indicators.arrays import Floats
from indicators.candles import CandleGrid

Family = Literal["trend", "momentum", "volatility", "volume"]
Parameters = Mapping[str, int | float]
Compute = Callable[["Columns"], Sequence[Floats]]


@dataclass(frozen=True)
class Columns:
    """An unbroken run of candles of one market."""

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
    """Candles after which the value no longer tells how long the history was (recursive ones: to about 1e-6)."""
    value_range: tuple[float, float] | None
    description: str
    outputs: tuple[str, ...]
    compute: Compute
