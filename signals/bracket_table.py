"""Bracket forecasts and decisions of a batch as columns of a table. Pure."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from modelregistry.estimators.bracket_calibration import SCORING_GRID, SIDES
from modelregistry.estimators.kinds import RANGE, TPSL
from predictions import reasons as codes
from predictions.forecasting.forecasts import Forecasts
from predictions.forecasting.pricing import PricedBrackets, price_brackets
from predictions.forecasting.range_table import BatchCandles, Columns, reason_texts
from signals.rules import Decisions, level

CHOSEN = "chosen"
BRACKETS = (*SCORING_GRID, CHOSEN)
NUMBERS = (
    "take_profit",
    "stop_loss",
    "p_take_profit",
    "p_stop_loss",
    "p_neither",
    "p_break_even",
    "expected_net_return",
)


def bracket_rows(candles: BatchCandles, decisions: Decisions | None, horizons: Sequence[int], costs: float) -> Columns:
    """Columns with one row per candle, horizon, side and bracket.

    Brackets are those of the scoring grid and the one chosen by the rules.

    `emitted` marks the chosen bracket of the best horizon and side of a candle that became a signal.
    A refused candle has its reasons and no numbers but its close.
    """
    shape = (len(candles), len(horizons), len(SIDES), len(BRACKETS))
    numbers = {name: np.full(shape, np.nan) for name in NUMBERS}
    priced, decided = candles.accepted((TPSL,)), candles.accepted((RANGE, TPSL))
    if candles.forecasts.brackets is not None:
        _put(
            numbers, priced, slice(0, len(SCORING_GRID)), _scoring(candles.forecasts, horizons, costs), candles.position
        )
    emitted = np.zeros(shape, dtype=bool)
    without_edge = np.zeros(len(candles), dtype=bool)
    degradations = candles.degradations((RANGE, TPSL))
    # Both champions forecast but nothing is decided: they share no horizon.
    mismatched = decided & (decisions is None and candles.forecasts.ranges is not None)
    if decisions is not None:
        at = candles.position[decided]
        degraded = (
            np.any(list(degradations.values()), axis=0)[decided] if degradations else np.zeros(len(at), dtype=bool)
        )
        signals = decisions.emitted[at] & ~degraded
        without_edge[decided] = ~decisions.emitted[at] & ~degraded
        _put(numbers, decided, len(SCORING_GRID), decisions.chosen, candles.position)
        place = np.searchsorted(np.array(horizons), decisions.horizon[at])
        side = np.array([SIDES.index(name) for name in decisions.side], dtype=np.int64)[at]
        emitted[np.flatnonzero(decided)[signals], place[signals], side[signals], -1] = True
    reasons = np.empty((len(candles), len(BRACKETS)), dtype=object)
    reasons[:, :-1] = reason_texts({**candles.refusals((TPSL,)), **candles.degradations((TPSL,))}, len(candles))[
        :, None
    ]
    hold = {**candles.refusals((RANGE, TPSL)), **degradations, codes.NO_EDGE_AFTER_FEES: without_edge}
    hold[codes.NO_CHAMPION] = hold.get(codes.NO_CHAMPION, np.zeros(len(candles), dtype=bool)) | mismatched
    reasons[:, -1] = reason_texts(hold, len(candles))

    def spread(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        wide = values.reshape([-1 if place == axis else 1 for place in range(len(shape))])
        return np.broadcast_to(wide, shape).ravel()

    return {
        "symbol": spread(candles.symbol, 0),
        "open_time": spread(candles.open_time, 0),
        "horizon": spread(np.array(horizons, dtype=np.int64), 1),
        "side": spread(np.array(SIDES, dtype=object), 2),
        "bracket": spread(np.array(BRACKETS, dtype=object), 3),
        "entry_price": spread(candles.close, 0),
        **{name: values.ravel() for name, values in numbers.items()},
        "emitted": emitted.ravel(),
        "reasons": np.broadcast_to(reasons[:, None, None, :], shape).ravel(),
    }


def _scoring(forecasts: Forecasts, horizons: Sequence[int], costs: float) -> PricedBrackets:
    """Price the scoring grid for every forecast row, shape (n_rows, n_horizons, 2, 3)."""
    assert forecasts.brackets is not None
    close, sigma = forecasts.inputs.close, forecasts.inputs.sigma
    multiples = np.array(list(SCORING_GRID.values()))
    shape = (len(close), len(horizons), len(SIDES), len(multiples))
    found = PricedBrackets(**{column.name: np.empty(shape) for column in fields(PricedBrackets)})
    for k, horizon in enumerate(horizons):
        unit = close * sigma * np.sqrt(horizon)
        for s, (sign, side) in enumerate(zip((1.0, -1.0), SIDES, strict=True)):
            take_profit = level(close, sign, unit, multiples[:, 0])
            stop_loss = level(close, -sign, unit, multiples[:, 1])
            priced = price_brackets(forecasts.brackets, close, horizon, side, take_profit, stop_loss, costs)
            for column in fields(PricedBrackets):
                getattr(found, column.name)[:, k, s] = getattr(priced, column.name)
    return found


def _put(
    numbers: Columns,
    candles: npt.NDArray[np.bool_],
    place: slice | int,
    priced: PricedBrackets,
    position: npt.NDArray[np.int64],
) -> None:
    """Copy the prices of these candles to their place on the last axis."""
    for name, values in numbers.items():
        values[candles, ..., place] = getattr(priced, name)[position[candles]]
