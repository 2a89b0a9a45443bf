"""First touch: whether take-profit or stop-loss is reached first after a decision.

Pure arithmetic over *completed* windows, shared by the scoring of signals and by the training labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from indicators.arrays import Codes, Flags, Floats, Integers

Side = Literal["buy", "sell"]


class Touch(IntEnum):
    """Outcome of a bracket; the first three are the column order of three-way probabilities."""

    UNKNOWN = -1
    """The window is not complete, or a candle of it is missing."""
    TAKE_PROFIT = 0
    STOP_LOSS = 1
    NEITHER = 2
    """No level was reached by the close of the window's last candle."""
    VOID = 3
    """A level was already passed at the open where the trade would have begun."""


@dataclass(frozen=True, eq=False)
class Touches:
    """Outcomes of brackets; every array has the shape of the given levels."""

    outcome: Codes
    """A `Touch` each."""
    candles: Integers
    """Candles from entry to the touch, 1 = the entry candle itself; the horizon if neither; 0 if void or unknown."""
    entry: Floats
    """Open of the first candle of the window; NaN if unknown."""
    exit: Floats
    """The level touched, or the last close if neither; NaN if void or unknown.

    Where a candle opens beyond the stop-loss it is that open: no order could have been filled at the level. A
    take-profit is never filled better than its level.
    """
    ambiguous: Flags
    """Both levels lie inside the touching candle; its order is unknown and counted as stop-loss."""

    def gross_return(self, side: Side) -> Floats:
        """Return before costs as a fraction of the entry price, NaN where void or unknown."""
        sign = 1.0 if side == "buy" else -1.0
        return sign * (self.exit - self.entry) / self.entry

    def move_to_barrier(self, below: Floats) -> Floats:
        """Return of a buy at the barrier touched first, or at the last close.

        It is 0 if void or unknown. The lower barrier is the take-profit of a sell, which is filled at its level even
        where a candle opens beyond.
        """
        reached = np.where(self.outcome == Touch.STOP_LOSS, below, self.exit)
        return np.nan_to_num((reached - self.entry) / self.entry, nan=0.0)


def first_touch(
    opens: Floats, highs: Floats, lows: Floats, closes: Floats, *, side: Side, take_profit: Floats, stop_loss: Floats
) -> Touches:
    """Compute the outcome of one bracket per window of candles.

    Parameters
    ----------
    opens, highs, lows, closes : float64 arrays of shape (k, horizon)
        The candles *after* the decision, in order; the trade begins at ``opens[:, 0]``.
    side : {"buy", "sell"}
        A buy takes profit above and stops below; a sell the other way round.
    take_profit, stop_loss : float64 arrays of shape (k,)
        Prices. Reaching a level exactly counts as touching it. NaN makes the outcome unknown.

    Returns
    -------
    Touches
        With arrays of shape (k,). A window with any NaN is `Touch.UNKNOWN`, even where a touch came before the hole.

    Examples
    --------
    >>> rising = np.array([[100.0, 101.0]]), np.array([[101.0, 103.0]]), np.array([[99.5, 100.5]])
    >>> found = first_touch(
    ...     *rising, np.array([[101.0, 102.5]]), side="buy", take_profit=np.array([102.0]), stop_loss=np.array([99.0])
    ... )
    >>> Touch(found.outcome[0]).name, int(found.candles[0]), float(found.exit[0])
    ('TAKE_PROFIT', 2, 102.0)

    Bought at 100 with the stop at 98, the next candle opens at 95:

    >>> gapped = np.array([[100.0, 95.0]]), np.array([[101.0, 96.0]]), np.array([[99.0, 94.0]])
    >>> found = first_touch(
    ...     *gapped, np.array([[100.0, 95.5]]), side="buy", take_profit=np.array([102.0]), stop_loss=np.array([98.0])
    ... )
    >>> Touch(found.outcome[0]).name, float(found.exit[0]), found.gross_return("buy").tolist()
    ('STOP_LOSS', 95.0, [-0.05])
    """
    if side not in {"buy", "sell"}:
        raise ValueError(f"side must be buy or sell, got {side}")
    take_profit, stop_loss = np.asarray(take_profit, dtype=np.float64), np.asarray(stop_loss, dtype=np.float64)
    count, horizon = highs.shape
    upper, lower = (take_profit, stop_loss) if side == "buy" else (stop_loss, take_profit)
    above, below = highs >= upper[:, None], lows <= lower[:, None]
    any_above, any_below = above.any(axis=1), below.any(axis=1)
    when_above = np.where(any_above, above.argmax(axis=1), horizon)
    when_below = np.where(any_below, below.argmax(axis=1), horizon)
    when_profit, when_stop = (when_above, when_below) if side == "buy" else (when_below, when_above)
    entry, last_close = opens[:, 0], closes[:, -1]

    complete = np.isfinite(opens).all(axis=1) & np.isfinite(highs).all(axis=1)
    complete &= np.isfinite(lows).all(axis=1) & np.isfinite(closes).all(axis=1)
    complete &= np.isfinite(take_profit) & np.isfinite(stop_loss)
    void = (entry >= upper) | (entry <= lower)
    outcome = np.full(count, Touch.NEITHER, dtype=np.int8)
    outcome[when_profit < when_stop] = Touch.TAKE_PROFIT
    outcome[(when_stop <= when_profit) & (when_stop < horizon)] = Touch.STOP_LOSS
    outcome[void] = Touch.VOID
    outcome[~complete] = Touch.UNKNOWN
    settled = complete & ~void
    touching = opens[np.arange(count), np.minimum(when_stop, horizon - 1)]
    stopped_at = np.minimum(stop_loss, touching) if side == "buy" else np.maximum(stop_loss, touching)
    reached = np.select(
        [outcome == Touch.TAKE_PROFIT, outcome == Touch.STOP_LOSS, outcome == Touch.NEITHER],
        [take_profit, stopped_at, last_close],
        default=np.nan,
    )
    candles = np.where(settled, np.minimum(np.minimum(when_profit, when_stop) + 1, horizon), 0)
    ambiguous = settled & (when_profit == when_stop) & (when_stop < horizon)
    return Touches(outcome, candles.astype(np.int64), np.where(complete, entry, np.nan), reached, ambiguous)
