"""Pricing of brackets: probabilities, break-even and expected return after costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats
from modelregistry.estimators.bracket_calibration import SIDES, expected_return
from modelregistry.estimators.tpsl_classifier import BracketView

Z = 1.645
"""Quantile of a one-sided 95 % interval; decisions use its lower bound."""


@dataclass(frozen=True, eq=False)
class PricedBrackets:
    """Brackets with probabilities and expected returns; all arrays have one shape."""

    take_profit: Floats
    stop_loss: Floats
    p_take_profit: Floats
    p_stop_loss: Floats
    p_neither: Floats
    p_break_even: Floats
    expected_net_return: Floats
    lower_bound: Floats

    def take(self, index: npt.NDArray[np.int64]) -> PricedBrackets:
        """Choose one bracket of each row."""
        rows = np.arange(len(index))
        return PricedBrackets(**{column.name: getattr(self, column.name)[rows, index] for column in fields(self)})


def costs_of(fee_rate: float, slippage_bps: float) -> float:
    """Cost of a round trip as a fraction of price: two fees and the slippage.

    Examples
    --------
    >>> round(costs_of(0.001, 1.0), 6)
    0.0021
    """
    return 2.0 * fee_rate + slippage_bps / 10_000.0


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
    probabilities: BracketView,
    close: Floats,
    horizon: int,
    side: str,
    take_profit: Floats,
    stop_loss: Floats,
    costs: float,
) -> PricedBrackets:
    """Price given brackets.

    Parameters
    ----------
    probabilities : BracketView
        Of the same rows as `close`.
    close : ndarray of shape (n_rows,)
    horizon : int
        In candles.
    side : {"buy", "sell"}
    take_profit, stop_loss : ndarray of shape (n_rows, n_brackets)
        Each on its side of the close.
    costs : float
        See :func:`costs_of`.
    """
    ends = probabilities.ends(horizon, side, take_profit, stop_loss)
    error = probabilities.standard_error(horizon, side)
    return _priced(ends, error, close, take_profit, stop_loss, costs)


def price_sides(
    probabilities: BracketView, close: Floats, horizon: int, above: Floats, below: Floats, costs: float
) -> tuple[PricedBrackets, PricedBrackets]:
    """Price the buys and the sells between the same levels, with half the work of two calls of `price_brackets`.

    Parameters
    ----------
    probabilities, close, horizon, costs
        As in :func:`price_brackets`.
    above, below : ndarray of shape (n_rows, n_brackets)
        Take-profit and stop-loss of the buys, stop-loss and take-profit of the sells.
    """
    buys, sells = probabilities.ends_of_sides(horizon, above, below)
    errors = (probabilities.standard_error(horizon, side) for side in SIDES)
    return (
        _priced(buys, next(errors), close, above, below, costs),
        _priced(sells, next(errors), close, below, above, costs),
    )


def _priced(
    ends: tuple[Floats, Floats], error: float, close: Floats, take_profit: Floats, stop_loss: Floats, costs: float
) -> PricedBrackets:
    level = close[:, None]
    a, b = np.abs(take_profit - level) / level, np.abs(stop_loss - level) / level
    p, m = ends
    p_tp, p_sl, p_neither = p[..., 0], p[..., 1], p[..., 2]
    net = expected_return(p, a, b, m) - costs
    return PricedBrackets(
        take_profit=take_profit,
        stop_loss=stop_loss,
        p_take_profit=p_tp,
        p_stop_loss=p_sl,
        p_neither=p_neither,
        p_break_even=break_even(p_neither, a, b, m, costs),
        expected_net_return=net,
        lower_bound=net - Z * error * (a + b),
    )
