"""Decision rules: the bracket, if any, whose expected return is significantly above costs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from indicators.arrays import Flags, Floats, Integers
from modelregistry.estimators.bracket_calibration import SIDES
from modelregistry.estimators.forecast import RangeForecast
from modelregistry.estimators.tpsl_classifier import BracketView
from predictions.forecasting.pricing import PricedBrackets, costs_of, price_sides

MULTIPLES = (0.75, 1.0, 1.5, 2.0)
"""Distances tried for take-profit and for stop-loss, in units of half the predicted median range."""
PRICE_PLACES = 8
SMALLEST_STEP = 10.0**-PRICE_PLACES


@dataclass(frozen=True, eq=False)
class Decisions:
    """One decision per row: the best bracket, and whether it becomes a signal."""

    emitted: Flags
    """Whether the lower bound of the best bracket is above 0 and the direction does not oppose it."""
    opposed: Flags
    """Whether the direction estimator favours the other side."""
    side: tuple[str, ...]
    horizon: Integers
    best: PricedBrackets
    """Bracket of the chosen horizon and side, shape (n_rows,)."""
    chosen: PricedBrackets
    """Best bracket of every horizon and side, shape (n_rows, n_horizons, 2)."""


def decide(
    probabilities: BracketView,
    ranges: RangeForecast,
    close: Floats,
    *,
    horizons: Sequence[int],
    fee_rate: float,
    slippage_bps: float,
    direction: Floats | None = None,
) -> Decisions:
    """Choose horizon, side and bracket for every row by expected net return, or none.

    A bracket becomes a signal only if the lower bound of its expected net return is above 0
    and the direction estimator, if any, does not favour the other side.

    Parameters
    ----------
    probabilities, ranges, close
        Of the same n rows.
    horizons : sequence of int
        Horizons of both estimators.
    fee_rate, slippage_bps : float
        A side, as a fraction; a round trip, in basis points.
    direction : ndarray of shape (n_rows, 3), optional
        P(buy), P(sell), P(hold).
    """
    costs = costs_of(fee_rate, slippage_bps)
    grid = np.array([(a, b) for a in MULTIPLES for b in MULTIPLES])
    swapped = np.arange(len(grid)).reshape(len(MULTIPLES), -1).T.ravel()
    per_horizon = []
    for horizon in horizons:
        k = ranges.horizons.index(horizon)
        middle = ranges.high.shape[-1] // 2
        unit = (ranges.high[:, k, middle] - ranges.low[:, k, middle]) / 2.0
        above, below = level(close, 1.0, unit, grid[:, 0]), level(close, -1.0, unit, grid[:, 1])
        buys, sells = price_sides(probabilities, close, horizon, above, below, costs)
        best_buy = buys.expected_net_return.argmax(axis=1)
        # In the order of the sells' own distances, so that of equal ones the same is chosen as of the buys.
        best_sell = swapped[sells.expected_net_return[:, swapped].argmax(axis=1)]
        per_side = [buys.take(best_buy), sells.take(best_sell)]
        per_horizon.append(_stack(per_side))
    chosen = _stack(per_horizon)
    return _best(chosen, np.array(horizons, dtype=np.int64), direction)


def _best(chosen: PricedBrackets, horizons: Integers, direction: Floats | None) -> Decisions:
    """Choose the best horizon and side of every row by expected net return."""
    rows = len(chosen.take_profit)
    flat = PricedBrackets(**{column.name: getattr(chosen, column.name).reshape(rows, -1) for column in fields(chosen)})
    at = flat.expected_net_return.argmax(axis=1)
    best = flat.take(at)
    which = at % len(SIDES)
    opposed = np.zeros(rows, dtype=bool)
    if direction is not None:
        favoured = np.take_along_axis(direction[:, :2], which[:, None], axis=1)[:, 0]
        opposed = favoured < np.take_along_axis(direction[:, :2], 1 - which[:, None], axis=1)[:, 0]
    emitted = (best.expected_net_return > 0) & (best.lower_bound > 0) & ~opposed
    return Decisions(emitted, opposed, tuple(SIDES[i] for i in which), horizons[at // len(SIDES)], best, chosen)


def level(close: Floats, sign: float, unit: Floats, multiples: Floats) -> Floats:
    """Prices at multiples of a unit from the close, rounded to stored places."""
    distance = np.maximum(unit[:, None] * multiples, SMALLEST_STEP)
    prices = np.round(close[:, None] + sign * distance, PRICE_PLACES)
    step = SMALLEST_STEP * sign
    beyond = prices > close[:, None] if sign > 0 else prices < close[:, None]
    return np.maximum(np.where(beyond, prices, close[:, None] + step), SMALLEST_STEP)


def _stack(parts: Sequence[PricedBrackets]) -> PricedBrackets:
    """Stack brackets of one shape on a new axis after the rows."""
    return PricedBrackets(
        **{
            column.name: np.stack([getattr(part, column.name) for part in parts], axis=1)
            for column in fields(PricedBrackets)
        }
    )
