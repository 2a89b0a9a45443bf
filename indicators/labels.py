"""Training targets. They look ahead, so the serving path may not import this module."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from indicators.arrays import Codes, Floats, Integers
from indicators.barriers import Touch
from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.kernels import window_max, window_min
from indicators.lookahead import judge_brackets


class Direction(IntEnum):
    """The three-way signal; values are the column order of the signal classifier."""

    UNKNOWN = -1
    BUY = 0
    SELL = 1
    HOLD = 2


def future_range(grid: CandleGrid, horizon: int) -> tuple[Floats, Floats]:
    """Log distances from each close to the high and low of the next `horizon` candles.

    Forward-looking: row ``t`` reads the close of ``t`` and candles ``t + 1`` to ``t + horizon``.

    Returns
    -------
    log_high, log_low : float64 arrays of shape (m, n)
        ``ln(H / C)`` and ``ln(C / L)``, both counted away from the close (a positive `log_low` lies below it; either
        can be slightly negative after a gap). NaN where the row or any candle of its window is missing or not closed
        yet: the last `horizon` rows are never labelled.

    Examples
    --------
    >>> columns = {"open": [1, 1, 2], "high": [1, 2, 4], "low": [1, 1, 0.5], "close": [1, 2, 1], "volume": [1, 1, 1]}
    >>> log_high, log_low = future_range(CandleGrid.from_columns([0, 300_000, 600_000], columns), horizon=2)
    >>> np.exp(log_high).tolist(), np.exp(log_low).tolist()
    ([[4.0, nan, nan]], [[2.0, nan, nan]])
    """
    log_high, log_low = np.full(grid.close.shape, np.nan), np.full(grid.close.shape, np.nan)
    labelled = len(grid) - horizon
    if labelled <= 0:
        return log_high, log_low
    # Both propagate NaN, so one missing candle leaves its window unlabelled.
    highest = window_max(grid.high[:, 1:], horizon, labelled)
    lowest = window_min(grid.low[:, 1:], horizon, labelled)
    close = grid.close[:, :labelled]
    log_high[:, :labelled] = np.log(highest / close)
    log_low[:, :labelled] = np.log(close / lowest)
    return log_high, log_low


def three_way_label(grid: CandleGrid, horizon: int, *, width: Floats, costs: float) -> tuple[Codes, Integers]:
    """Triple-barrier label with costs: whether buying, selling or neither would have paid.

    Two barriers lie `width` (log distance) above and below the close, entry is the next open. `Direction.BUY` where
    the upper one is touched first, `Direction.SELL` where the lower one is, provided the move from entry to barrier is
    larger than `costs`. At the time limit the close decides by the same rule. Both in one candle, or a barrier already
    passed at the open, is `Direction.HOLD`: it is unknown which trade would have paid.

    Returns
    -------
    label : int8 array of shape (m, n)
        Of `Direction`; unknown future stays `Direction.UNKNOWN`.
    candles : int64 array of shape (m, n)
        Candles from the row to the end of its label.
    """
    above, below = grid.close * np.exp(width), grid.close * np.exp(-np.asarray(width))
    touches = judge_brackets(grid, horizon, side="buy", take_profit=above, stop_loss=below)
    move = touches.move_to_barrier(below)
    label = np.full(grid.close.shape, Direction.HOLD, dtype=np.int8)
    label[(move > costs) & ~touches.ambiguous] = Direction.BUY
    label[(move < -costs) & ~touches.ambiguous] = Direction.SELL
    label[touches.outcome == Touch.UNKNOWN] = Direction.UNKNOWN
    return label, touches.candles


def label_end(open_time: Integers, horizon: int, interval_ms: int = INTERVAL_MS) -> Integers:
    """Instant (ms) at which each label is known: the close of its window's last candle.

    Examples
    --------
    >>> label_end(np.array([0]), horizon=6).tolist()
    [2100000]
    """
    return open_time + (horizon + 1) * interval_ms
