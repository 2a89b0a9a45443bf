"""Sums, weighted sums and extremes over finite windows, in one fixed order of operations.

A running sum or a recursive filter accumulates rounding errors from the first row of an array to the last, so its
value depends on where the array starts. Here a window of ``2k`` is always the window of ``k`` plus the one ``k``
candles earlier: the tree of additions is fixed by the window alone, and the same candles give the same bits live and
in batch.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats


class WindowSums:
    """Sums over many windows of one series, built from shared windows of doubled length.

    Parameters
    ----------
    series : float64 array of shape (m, n)
        Values without NaN (what is missing is 0), oldest first.
    rows : int
        Sums are returned for the newest `rows` positions.
    decay : float, default 1
        Each value weighs `decay` times the one after it; 1 is a plain sum.
    """

    def __init__(self, series: Floats, rows: int, decay: float = 1.0) -> None:
        self._series = series
        self._rows = rows
        self._decay = decay
        self._doubled: list[Floats] = [series]

    def total(self, window: int, lag: int = 0) -> Floats:
        """Sum of the `window` values that end `lag` candles before each row, shape (m, rows)."""
        accumulated: Floats | None = None
        behind = lag
        for power in range(window.bit_length()):
            if not window >> power & 1:
                continue
            part = self._folded(power, behind) if self._rows == 1 else self._ladder(power, behind)
            if accumulated is None:
                accumulated = part
            else:
                accumulated = accumulated + (part if self._decay == 1.0 else self._decay ** (behind - lag) * part)
            behind += 1 << power
        assert accumulated is not None, "a window holds at least one candle"
        return accumulated

    def _ladder(self, power: int, lag: int) -> Floats:
        while len(self._doubled) <= power:
            half, width = self._doubled[-1], 1 << (len(self._doubled) - 1)
            earlier = half[:, :-width]
            if self._decay != 1.0:
                earlier = earlier * self._decay**width
            self._doubled.append(half[:, width:] + earlier)
        level = self._doubled[power]
        stop = level.shape[1] - lag
        if stop < self._rows:
            raise ValueError(f"a window of {1 << power} ending {lag} back needs a longer series")
        return level[:, stop - self._rows : stop]

    def _folded(self, power: int, lag: int) -> Floats:
        """Same additions as `_ladder`, only those that a single row needs."""
        stop = self._series.shape[1] - lag
        if stop < 1 << power:
            raise ValueError(f"a window of {1 << power} ending {lag} back needs a longer series")
        values = self._series[:, stop - (1 << power) : stop]
        for step in range(power):
            earlier = values[:, 0::2]
            if self._decay != 1.0:
                earlier = earlier * self._decay ** (1 << step)
            values = values[:, 1::2] + earlier
        return values


def window_max(series: Floats, window: int, rows: int, lag: int = 0) -> Floats:
    """Largest of the `window` values ending `lag` candles before each row, shape (m, rows).

    Examples
    --------
    >>> window_max(np.array([[1.0, 5.0, 2.0, 3.0]]), window=3, rows=2).tolist()
    [[5.0, 5.0]]
    """
    stop = series.shape[1] - lag
    if stop < rows + window - 1:
        raise ValueError(f"the largest of {window} ending {lag} back needs a longer series")
    values = series[:, stop - rows - window + 1 : stop]
    if rows == 1:
        largest: Floats = values.max(axis=1, keepdims=True)
        return largest
    width = 1
    while width * 2 <= window:
        values = np.maximum(values[:, width:], values[:, :-width])
        width *= 2
    rest = window - width
    return np.maximum(values[:, rest:], values[:, : values.shape[1] - rest]) if rest else values


def window_min(series: Floats, window: int, rows: int, lag: int = 0) -> Floats:
    """Smallest of the `window` values ending `lag` candles before each row, shape (m, rows)."""
    return -window_max(-series, window, rows, lag)
