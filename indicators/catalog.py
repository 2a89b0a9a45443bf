"""The catalogue of standard indicators: what can be asked for by name, and the values of what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from indicators.arrays import Floats
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError, UnknownIndicator
from indicators.listing import listed
from indicators.specification import Columns, IndicatorSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATALOG", "OUTPUTS", "IndicatorSpec", "compute_indicators", "resolve", "warm_up"]

CATALOG: dict[str, IndicatorSpec] = {spec.name: spec for spec in listed()}
"""Every indicator by its name."""

OUTPUTS: dict[str, IndicatorSpec] = {output: spec for spec in CATALOG.values() for output in spec.outputs}
"""The indicator that produces each output."""


def resolve(names: Iterable[str]) -> list[str]:
    """Outputs asked for, in order and without repeats; an indicator's name stands for all its outputs.

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


def warm_up(names: Iterable[str]) -> int:
    """Candles to load before the first one shown, so that the values do not depend on how many are shown."""
    return max((OUTPUTS[output].warm_up for output in resolve(names)), default=0)


def compute_indicators(candles: CandleGrid | pd.DataFrame, names: Iterable[str]) -> dict[str, Floats]:
    """Values of standard indicators for one market.

    Parameters
    ----------
    candles : CandleGrid of one market, or DataFrame with `open_time` and the candle columns
        Oldest first. A hole (NaN) starts every indicator anew: nothing is filled in.
    names : iterable of str
        Indicators or outputs of :data:`CATALOG`.

    Returns
    -------
    dict of output name to float64 array of shape (n,)
        NaN at missing candles and while warming up; n counts the instants of the grid.

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
    answer = {output: np.full(len(grid), np.nan) for output in outputs}
    for start, stop in _runs(grid):
        run = grid.span(start, stop)
        columns = Columns(run, *(np.ascontiguousarray(getattr(run, name)[0]) for name in CANDLE_COLUMNS))
        for spec in {OUTPUTS[output].name: OUTPUTS[output] for output in outputs}.values():
            for output, values in zip(spec.outputs, spec.compute(columns), strict=True):
                if output in answer:
                    answer[output][start:stop] = values
    return answer


def _runs(grid: CandleGrid) -> list[tuple[int, int]]:
    """Unbroken stretches of candles as (start, stop)."""
    present = np.concatenate([[False], grid.present[0], [False]])
    edges = np.flatnonzero(present[1:] != present[:-1])
    return [(int(start), int(stop)) for start, stop in zip(edges[0::2], edges[1::2], strict=True)]
