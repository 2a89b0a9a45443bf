"""The catalogue of standard indicators by name, and the computation of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from indicators.arrays import Floats
from indicators.candles import CANDLE_COLUMNS, DAY_MS, EPOCH_MONDAY_MS, INTERVAL_MS, WEEK_MS, CandleGrid
from indicators.catalog.listing import all_indicators
from indicators.catalog.specification import Columns, IndicatorSpec
from indicators.errors import FeatureError, UnknownIndicator

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATALOG", "OUTPUTS", "IndicatorSpec", "compute_indicators", "resolve", "warm_up"]

BLOCK_CANDLES = 512
"""Number of candles whose values are computed together, starting one warm-up before the block's first candle."""

CATALOG: dict[str, IndicatorSpec] = {spec.name: spec for spec in all_indicators()}
"""Every indicator by its name."""

OUTPUTS: dict[str, IndicatorSpec] = {output: spec for spec in CATALOG.values() for output in spec.outputs}
"""The indicator that produces each output."""


def resolve(names: Iterable[str]) -> list[str]:
    """Requested outputs in order, without repeats; an indicator's name stands for all its outputs.

    Raises
    ------
    UnknownIndicator
        With the names that are not known and those that are.

    Examples
    --------
    >>> resolve(["rsi_14", "stochastic_14", "rsi_14"])
    ['rsi_14', 'stoch_k', 'stoch_d']
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in OUTPUTS and name not in CATALOG]
    if unknown:
        known = ", ".join(sorted({*CATALOG, *OUTPUTS}))
        raise UnknownIndicator(f"unknown indicator {', '.join(map(repr, unknown))}; known are {known}")
    outputs = [output for name in wanted for output in ((name,) if name in OUTPUTS else CATALOG[name].outputs)]
    return list(dict.fromkeys(outputs))


def warm_up(names: Iterable[str], interval_ms: int = INTERVAL_MS) -> int:
    """Number of candles to load before the first one shown.

    With these, no value depends on how many candles are shown.
    """
    specs = [OUTPUTS[output] for output in resolve(names)]
    return max((_lead(spec) + _period_ms(spec, interval_ms) // interval_ms for spec in specs), default=0)


def compute_indicators(
    candles: CandleGrid | pd.DataFrame, names: Iterable[str], rows: int | None = None
) -> dict[str, Floats]:
    """Values of standard indicators for one market.

    Each value is computed from a stretch of candles that depends on its own time alone, so it is the same to the last
    bit whatever else is requested and however many candles are shown (given `warm_up` older ones).

    Parameters
    ----------
    candles : CandleGrid of one market, or DataFrame with `open_time` and the candle columns
        Oldest first. A hole (NaN) restarts every indicator except those that count from midnight; nothing is filled
        in.
    names : iterable of str
        Indicators or outputs of :data:`CATALOG`.
    rows : int, optional
        How many of the newest instants are wanted, by default all.

    Returns
    -------
    dict of output name to float64 array of shape (rows,)
        NaN at missing candles, while warming up, and where the indicator is undefined: a share of a movement or of a
        range where nothing moved. The instants are the grid's.

    Raises
    ------
    UnknownIndicator
        If a name is not in the catalogue; the message lists what is.
    FeatureError
        If the grid holds more than one market.
    """
    outputs = resolve(names)
    grid = candles if isinstance(candles, CandleGrid) else CandleGrid.from_frame(candles)
    if grid.n_markets != 1:
        raise FeatureError(f"indicators are computed one market at a time, the grid holds {grid.n_markets}")
    n_hidden = 0 if rows is None else max(len(grid) - rows, 0)
    results = {output: np.full(len(grid), np.nan) for output in outputs}
    runs = _runs(grid)
    for spec in {OUTPUTS[output].name: OUTPUTS[output] for output in outputs}.values():
        for first, start, stop in _stretches(spec, grid, runs):
            if stop <= n_hidden:
                continue
            stretch = grid.span(first, stop)
            columns = Columns(stretch, *(np.ascontiguousarray(getattr(stretch, name)[0]) for name in CANDLE_COLUMNS))
            for output, values in zip(spec.outputs, spec.compute(columns), strict=True):
                if output in results:
                    results[output][start:stop] = values[start - first :]
    return {output: values[n_hidden:] for output, values in results.items()}


def _runs(grid: CandleGrid) -> list[tuple[int, int]]:
    """Unbroken stretches of candles as (start, stop)."""
    present = np.concatenate([[False], grid.present[0], [False]])
    edges = np.flatnonzero(present[1:] != present[:-1])
    return [(int(start), int(stop)) for start, stop in zip(edges[0::2], edges[1::2], strict=True)]


def _stretches(spec: IndicatorSpec, grid: CandleGrid, runs: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Positions (first, start, stop): candles from `first` give the values of `start` up to `stop`.

    Periods lie at fixed times, so the candles behind a value do not depend on where the grid begins or ends.
    """
    period = (grid.open_time - EPOCH_MONDAY_MS) // _period_ms(spec, grid.interval_ms)
    for run_start, run_stop in [(0, len(grid))] if spec.start == "day" else runs:
        edges = np.flatnonzero(np.diff(period[run_start:run_stop])) + run_start + 1
        bounds = [run_start, *edges.tolist(), run_stop]
        for start, stop in pairwise(bounds):
            yield max(run_start, start - _lead(spec)), start, stop


def _lead(spec: IndicatorSpec) -> int:
    """Candles read before the first one of a period."""
    return spec.warm_up if spec.start == "window" else 0


def _period_ms(spec: IndicatorSpec, interval_ms: int) -> int:
    return {"window": BLOCK_CANDLES * interval_ms, "day": DAY_MS, "week": WEEK_MS}[spec.start]
