"""Outcomes of brackets by loops compiled with numba. Looks ahead; for training only.

The compiler is imported by the first call, never with this module, so a process that only serves does not load it.
Compiled code is kept in memory and not cached on disk: compiling takes a second per training, and no cache file can
become outdated or be tampered with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats, Integers
from indicators.barriers import Side, Touch, Touches
from indicators.candles import CandleGrid

Lengths = npt.NDArray[np.int32]

# Plain numbers, which the compiler treats as constants.
_UNKNOWN, _TAKE_PROFIT, _STOP_LOSS, _NEITHER, _VOID = (
    int(code) for code in (Touch.UNKNOWN, Touch.TAKE_PROFIT, Touch.STOP_LOSS, Touch.NEITHER, Touch.VOID)
)


def judge_brackets(grid: CandleGrid, horizon: int, *, side: Side, take_profit: Floats, stop_loss: Floats) -> Touches:
    """Compute the outcome of one bracket per candle of a grid.

    The decision is at the candle's close, the window is the next `horizon` candles. Forward-looking: row ``t`` reads
    candles ``t + 1`` to ``t + horizon``.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets.
    horizon : int
        Length of the window in candles.
    side : {"buy", "sell"}
        A buy takes profit above and stops below; a sell the other way round.
    take_profit, stop_loss : float64 arrays of shape (m, n)
        Prices for each candle of the grid, NaN to skip one.

    Returns
    -------
    Touches
        With arrays of shape (m, n), the same bits as :func:`indicators.barriers.first_touch` gives window by window.
        The last `horizon` candles are `Touch.UNKNOWN`.

    Examples
    --------
    >>> prices = {"open": [9, 10, 11], "high": [9, 11, 14], "low": [9, 9, 10], "close": [10, 11, 12]}
    >>> grid = CandleGrid.from_columns([0, 300_000, 600_000], {**prices, "volume": [1, 1, 1]})
    >>> found = judge_brackets(grid, 2, side="buy", take_profit=grid.close + 3, stop_loss=grid.close - 3)
    >>> [Touch(code).name for code in found.outcome[0]], found.candles.tolist()
    (['TAKE_PROFIT', 'UNKNOWN', 'UNKNOWN'], [[2, 0, 0]])
    """
    shape = grid.close.shape
    market = np.repeat(np.arange(shape[0]), shape[1])
    position = np.tile(np.arange(shape[1]), shape[0])
    levels = [np.broadcast_to(level, shape).reshape(-1) for level in (take_profit, stop_loss)]
    judged = judge_rows(grid, market, position, horizon, side=side, take_profit=levels[0], stop_loss=levels[1])
    return Touches(
        outcome=judged.outcome.reshape(shape),
        candles=judged.candles.reshape(shape),
        entry=judged.entry.reshape(shape),
        exit=judged.exit.reshape(shape),
        ambiguous=judged.ambiguous.reshape(shape),
    )


def judge_rows(
    grid: CandleGrid,
    market: npt.NDArray[np.integer],
    position: Integers,
    horizon: int,
    *,
    side: Side,
    take_profit: Floats,
    stop_loss: Floats,
) -> Touches:
    """Compute the outcome of one bracket for each selected row of a grid.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets.
    market, position : integer arrays of shape (k,)
        Row and column of the candle each decision is made at the close of.
    horizon : int
        Length of the window in candles.
    side : {"buy", "sell"}
    take_profit, stop_loss : float64 arrays of shape (k,)
        Prices; reaching one exactly counts as touching it.

    Returns
    -------
    Touches
        With arrays of shape (k,). Unknown where a level is NaN, the grid ends before the window does, or a price in
        the window is missing, even after a touch.

    Raises
    ------
    ValueError
        If `side` is neither, shapes differ, or a row lies outside the grid.
    """
    if side not in {"buy", "sell"}:
        raise ValueError(f"side must be buy or sell, got {side}")
    market, position = np.asarray(market, dtype=np.int64), np.asarray(position, dtype=np.int64)
    take_profit, stop_loss = np.ascontiguousarray(take_profit, np.float64), np.ascontiguousarray(stop_loss, np.float64)
    count = len(position)
    # Compiled code does not check array bounds.
    if not market.shape == position.shape == take_profit.shape == stop_loss.shape == (count,):
        raise ValueError("there must be one market, one position and one level per row on either side")
    if ((position < 0) | (position >= len(grid)) | (market < 0) | (market >= grid.n_markets)).any():
        raise ValueError("a row lies outside the grid")
    judged = Touches(
        outcome=np.full(count, _UNKNOWN, dtype=np.int8),
        candles=np.zeros(count, dtype=np.int64),
        entry=np.full(count, np.nan),
        exit=np.full(count, np.nan),
        ambiguous=np.zeros(count, dtype=np.bool_),
    )
    prices = (grid.open, grid.high, grid.low, grid.close)
    lengths = np.empty(grid.close.shape, dtype=np.int32)
    count_complete, judge = _compiled()
    count_complete(*prices, lengths)
    judge(
        *prices,
        lengths,
        market,
        position,
        horizon,
        side == "buy",
        take_profit,
        stop_loss,
        judged.outcome,
        judged.candles,
        judged.entry,
        judged.exit,
        judged.ambiguous,
    )
    return judged


@lru_cache(maxsize=1)
def _compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    """Compile both loops, for strided and read-only candles too, with IEEE arithmetic as NumPy's."""
    from numba import njit, types

    column = types.Array(types.float64, 2, "A", readonly=True)
    levels = types.Array(types.float64, 1, "C", readonly=True)
    rows = types.Array(types.int64, 1, "A", readonly=True)
    candles = (column,) * 4
    count_complete = types.void(*candles, types.int32[:, ::1])
    results = (types.int8[::1], types.int64[::1], types.float64[::1], types.float64[::1], types.boolean[::1])
    judge = types.void(*candles, types.int32[:, ::1], rows, rows, types.int64, types.boolean, levels, levels, *results)
    return njit(count_complete, nogil=True)(_complete_lengths), njit(judge, nogil=True)(_judge)


def _complete_lengths(opens: Floats, highs: Floats, lows: Floats, closes: Floats, lengths: Lengths) -> None:
    """Count the consecutive candles with all prices, starting at each one."""
    for m in range(lengths.shape[0]):
        length = 0
        for t in range(lengths.shape[1] - 1, -1, -1):
            # A finite number less itself is 0, any other is NaN: no branch per price.
            rest = (opens[m, t] - opens[m, t]) + (highs[m, t] - highs[m, t])
            rest += (lows[m, t] - lows[m, t]) + (closes[m, t] - closes[m, t])
            length = length + 1 if rest == 0.0 else 0
            lengths[m, t] = length


def _judge(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    lengths: Lengths,
    market: Integers,
    position: Integers,
    horizon: int,
    rising: bool,
    take_profit: Floats,
    stop_loss: Floats,
    outcome: npt.NDArray[np.int8],
    candles: Integers,
    entry: Floats,
    exit_price: Floats,
    ambiguous: npt.NDArray[np.bool_],
) -> None:
    """Fill in the rows whose window is complete; the others keep their initial value, unknown."""
    for i in range(len(position)):
        m, first = market[i], position[i] + 1
        if first >= lengths.shape[1] or lengths[m, first] < horizon:
            continue
        if not (np.isfinite(take_profit[i]) and np.isfinite(stop_loss[i])):
            continue
        upper = take_profit[i] if rising else stop_loss[i]
        lower = stop_loss[i] if rising else take_profit[i]
        entry[i] = opens[m, first]
        if entry[i] >= upper or entry[i] <= lower:
            outcome[i] = _VOID
            continue
        above = below = False
        t = first
        while t < first + horizon:
            above, below = highs[m, t] >= upper, lows[m, t] <= lower
            if above or below:
                break
            t += 1
        if not (above or below):
            outcome[i], candles[i], exit_price[i] = _NEITHER, horizon, closes[m, first + horizon - 1]
            continue
        stopped = below if rising else above
        outcome[i] = _STOP_LOSS if stopped else _TAKE_PROFIT
        candles[i] = t - first + 1
        if not stopped:
            exit_price[i] = take_profit[i]
        else:  # where a candle opens beyond the stop, the exit is that open
            exit_price[i] = min(stop_loss[i], opens[m, t]) if rising else max(stop_loss[i], opens[m, t])
        ambiguous[i] = above and below
