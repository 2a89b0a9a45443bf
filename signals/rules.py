"""From a forecast to a decision: which bracket, if any, is expected to earn more than it costs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SIDES = ("buy", "sell")
MULTIPLES = (0.75, 1.0, 1.5, 2.0)
"""Distances tried for take-profit and for stop-loss, in units of half the predicted median range."""
STANDARD_ERROR = 0.02
"""What a calibrated probability may be off by: the block standard error of a reliability bin on unseen months."""
Z = 1.645
"""The decision is made at the lower end of a one-sided 95 % interval."""
PRICE_PLACES = 8
SMALLEST_STEP = 10.0**-PRICE_PLACES


class Odds(Protocol):
    """What the rules ask of the TP/SL estimator; prices have shape (n_rows, n_brackets)."""

    def probabilities(self, horizon: int, side: str, take_profit: Floats, stop_loss: Floats) -> Floats:
        """P(take-profit first), P(stop-loss first), P(neither) on the last axis."""
        ...

    def mean_if_neither(self, horizon: int, side: str, take_profit: Floats, stop_loss: Floats) -> Floats:
        """Mean gross return where neither level is reached."""
        ...


class Ranges(Protocol):
    """What the rules ask of a range forecast."""

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in candles."""
        ...

    @property
    def high(self) -> Floats:
        """Quantiles of the highest high, shape (n_rows, n_horizons, 7)."""
        ...

    @property
    def low(self) -> Floats:
        """Quantiles of the lowest low, shape (n_rows, n_horizons, 7)."""
        ...


@dataclass(frozen=True, eq=False)
class Priced:
    """Brackets and what they are expected to earn; all arrays have one shape."""

    take_profit: Floats
    stop_loss: Floats
    p_take_profit: Floats
    p_stop_loss: Floats
    p_neither: Floats
    p_break_even: Floats
    expected_net_return: Floats
    lower_bound: Floats

    def take(self, index: npt.NDArray[np.int64]) -> Priced:
        """Choose one bracket along the last axis."""
        return Priced(
            **{
                column.name: np.take_along_axis(getattr(self, column.name), index[..., None], axis=-1)[..., 0]
                for column in fields(self)
            }
        )


@dataclass(frozen=True, eq=False)
class Decisions:
    """One decision per row: the bracket that came first, and whether it is good enough to be a signal."""

    emitted: npt.NDArray[np.bool_]
    side: tuple[str, ...]
    horizon: npt.NDArray[np.int64]
    best: Priced
    """Of the chosen horizon and side, shape (n_rows,)."""
    chosen: Priced
    """The best bracket of every horizon and side, shape (n_rows, n_horizons, 2)."""


def costs_of(fee_rate: float, slippage_bps: float) -> float:
    """Cost of a round trip as a fraction of price: two fees and the slippage.

    Examples
    --------
    >>> round(costs_of(0.001, 1.0), 6)
    0.0021
    """
    return 2.0 * fee_rate + slippage_bps / 10_000.0


def expected_net(p_tp: Floats, p_sl: Floats, p_neither: Floats, a: Floats, b: Floats, m: Floats, costs: float) -> Floats:
    """Expected return of a bracket after costs, as a fraction of price.

    Parameters
    ----------
    p_tp, p_sl, p_neither : ndarray
        Probabilities of the three ends.
    a, b : ndarray
        Distances from the close to take-profit and to stop-loss, as fractions of the close.
    m : ndarray
        Mean gross return given neither.
    costs : float
        Of the round trip.

    Examples
    --------
    >>> half = np.array([0.5])
    >>> expected_net(half, half, 0 * half, np.array([0.02]), np.array([0.01]), 0 * half, 0.002).round(4).tolist()
    [0.003]
    """
    return p_tp * a - p_sl * b + p_neither * m - costs


def break_even(p_neither: Floats, a: Floats, b: Floats, m: Floats, costs: float) -> Floats:
    """The probability of take-profit at which the expected net return is 0.

    Examples
    --------
    >>> one = np.array([0.01])
    >>> break_even(0 * one, one, one, 0 * one, 0.002).round(3).tolist()
    [0.6]
    """
    return ((1.0 - p_neither) * b - p_neither * m + costs) / (a + b)


def price_brackets(
    odds: Odds, close: Floats, horizon: int, side: str, take_profit: Floats, stop_loss: Floats, costs: float
) -> Priced:
    """Price given brackets.

    Parameters
    ----------
    odds : Odds
        Of the same rows as `close`.
    close : ndarray of shape (n_rows,)
    horizon : int
        In candles.
    side : {"buy", "sell"}
    take_profit, stop_loss : ndarray of shape (n_rows, n_brackets)
        On their own sides of the close.
    costs : float
        See :func:`costs_of`.

    Returns
    -------
    Priced
        Arrays of shape (n_rows, n_brackets).
    """
    level = close[:, None]
    a, b = np.abs(take_profit - level) / level, np.abs(stop_loss - level) / level
    p = odds.probabilities(horizon, side, take_profit, stop_loss)
    p_tp, p_sl, p_neither = p[..., 0], p[..., 1], p[..., 2]
    m = odds.mean_if_neither(horizon, side, take_profit, stop_loss)
    net = expected_net(p_tp, p_sl, p_neither, a, b, m, costs)
    return Priced(
        take_profit=take_profit,
        stop_loss=stop_loss,
        p_take_profit=p_tp,
        p_stop_loss=p_sl,
        p_neither=p_neither,
        p_break_even=break_even(p_neither, a, b, m, costs),
        expected_net_return=net,
        lower_bound=net - Z * STANDARD_ERROR * (a + b),
    )


def decide(
    odds: Odds,
    ranges: Ranges,
    close: Floats,
    *,
    horizons: Sequence[int],
    fee_rate: float,
    slippage_bps: float,
    direction: Floats | None = None,
) -> Decisions:
    """Choose horizon, side and bracket for every row by expected net return, or none.

    A bracket becomes a signal only where even the lower end of its expected net return is above 0
    and the direction estimator, where there is one, does not favour the other side.

    Parameters
    ----------
    odds, ranges, close
        Of the same n rows.
    horizons : sequence of int
        Those both estimators answer.
    fee_rate, slippage_bps : float
        A side, as a fraction; a round trip, in basis points.
    direction : ndarray of shape (n_rows, 3), optional
        P(buy), P(sell), P(hold).

    Returns
    -------
    Decisions
    """
    costs = costs_of(fee_rate, slippage_bps)
    grid = np.array([(a, b) for a in MULTIPLES for b in MULTIPLES])
    per_horizon = []
    for horizon in horizons:
        k = ranges.horizons.index(horizon)
        middle = ranges.high.shape[-1] // 2
        unit = (ranges.high[:, k, middle] - ranges.low[:, k, middle]) / 2.0
        per_side = []
        for sign, side in zip((1.0, -1.0), SIDES, strict=True):
            take_profit = _level(close, sign, unit, grid[:, 0])
            stop_loss = _level(close, -sign, unit, grid[:, 1])
            priced = price_brackets(odds, close, horizon, side, take_profit, stop_loss, costs)
            per_side.append(priced.take(priced.expected_net_return.argmax(axis=1)))
        per_horizon.append(_stack(per_side))
    chosen = _stack(per_horizon)
    return _first(chosen, np.array(horizons, dtype=np.int64), direction)


def _first(chosen: Priced, horizons: npt.NDArray[np.int64], direction: Floats | None) -> Decisions:
    """Rank horizons and sides of every row by expected net return."""
    rows = len(chosen.take_profit)
    flat = Priced(**{column.name: getattr(chosen, column.name).reshape(rows, -1) for column in fields(chosen)})
    at = flat.expected_net_return.argmax(axis=1)
    best = flat.take(at)
    which = at % len(SIDES)
    emitted = (best.expected_net_return > 0) & (best.lower_bound > 0)
    if direction is not None:
        favoured = np.take_along_axis(direction[:, :2], which[:, None], axis=1)[:, 0]
        emitted &= favoured >= np.take_along_axis(direction[:, :2], 1 - which[:, None], axis=1)[:, 0]
    return Decisions(emitted, tuple(SIDES[i] for i in which), horizons[at // len(SIDES)], best, chosen)


def _level(close: Floats, sign: float, unit: Floats, multiples: Floats) -> Floats:
    """Prices at multiples of a unit from the close, at the places a price is stored with."""
    distance = np.maximum(unit[:, None] * multiples, SMALLEST_STEP)
    prices = np.round(close[:, None] + sign * distance, PRICE_PLACES)
    step = SMALLEST_STEP * sign
    beyond = prices > close[:, None] if sign > 0 else prices < close[:, None]
    return np.maximum(np.where(beyond, prices, close[:, None] + step), SMALLEST_STEP)


def _stack(parts: Sequence[Priced]) -> Priced:
    """Put several of one shape side by side on a new axis after the rows."""
    return Priced(
        **{column.name: np.stack([getattr(part, column.name) for part in parts], axis=1) for column in fields(Priced)}
    )
