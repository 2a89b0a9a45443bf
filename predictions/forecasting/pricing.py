"""Pricing of brackets: probabilities, break-even and expected return after costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats
from modelregistry.estimators.bracket_calibration import expected_return

Z = 1.645
"""Quantile of a one-sided 95 % interval; decisions use its lower bound."""


class BracketProbabilities(Protocol):
    """Interface of the TP/SL estimator; prices have shape (n_rows, n_brackets)."""

    def ends(self, horizon: int, side: str, take_profit: Floats, stop_loss: Floats) -> tuple[Floats, Floats]:
        """Probabilities on the last axis, and mean gross return where neither level is reached."""
        ...

    def standard_error(self, horizon: int, side: str) -> float:
        """Standard error of the expected return, in units of the distance between the levels."""
        ...


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
        """Choose one bracket along the last axis."""
        return PricedBrackets(
            **{
                column.name: np.take_along_axis(getattr(self, column.name), index[..., None], axis=-1)[..., 0]
                for column in fields(self)
            }
        )


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
    probabilities: BracketProbabilities,
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
    probabilities : BracketProbabilities
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
    level = close[:, None]
    a, b = np.abs(take_profit - level) / level, np.abs(stop_loss - level) / level
    p, m = probabilities.ends(horizon, side, take_profit, stop_loss)
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
        lower_bound=net - Z * probabilities.standard_error(horizon, side) * (a + b),
    )
