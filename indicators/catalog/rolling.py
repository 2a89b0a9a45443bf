"""Rolling windows over one series, their means, and the time since a value changed.

Every function looks back only, and a row depends on its own window alone: no running sum accumulates rounding errors.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indicators.arrays import Floats, Integers


def window_rows(values: Floats, window: int) -> Floats:
    """Full windows of a series as rows of a read-only view, shape (n - window + 1, window).

    Examples
    --------
    >>> window_rows(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    >>> window_rows(np.array([1.0]), 2).shape
    (0, 2)
    """
    if len(values) < window:
        return np.empty((0, window))
    return sliding_window_view(values, window)


def padded(rows: Floats, length: int) -> Floats:
    """Results of full windows as a series of `length`, NaN before the first full window.

    Examples
    --------
    >>> padded(np.array([5.0]), 3).tolist()
    [nan, nan, 5.0]
    """
    series = np.full(length, np.nan)
    if len(rows):
        series[-len(rows) :] = rows
    return series


def deviations(values: Floats, window: int) -> tuple[Floats, Floats]:
    """Newest value of each full window, and the differences of its values from that one.

    Differences from a value of the window itself are exactly 0 where the value did not change, whatever its magnitude.
    """
    newest = values[window - 1 :]
    return newest, window_rows(values, window) - newest[:, None]


def rolling_mean(values: Floats, window: int) -> Floats:
    """Mean of the last `window` values; NaN before the first window and near a NaN.

    Where all values are equal it is exactly that value.

    Examples
    --------
    >>> rolling_mean(np.array([0.1, 0.1, 0.1, 0.4]), 3).round(6).tolist()
    [nan, nan, 0.1, 0.2]
    """
    newest, deviation = deviations(values, window)
    return padded(newest + deviation.mean(axis=1), len(values))


def candles_unchanged(values: Floats) -> Integers:
    """Number of steps since each value last changed, shape (n,).

    Examples
    --------
    >>> candles_unchanged(np.array([1.0, 1.0, 2.0, 2.0, 2.0])).tolist()
    [0, 1, 0, 1, 2]
    """
    positions = np.arange(len(values), dtype=np.int64)
    moved = np.zeros(len(values), dtype=np.int64)
    if len(values):
        moved[1:] = np.where(values[1:] != values[:-1], positions[1:], 0)
    return positions - np.maximum.accumulate(moved)


def is_unchanged(reach: int, *columns: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Flags of the positions where no column has changed within the last `reach` values."""
    positions = np.arange(len(columns[0]))
    still = np.minimum.reduce([candles_unchanged(column) for column in columns])
    flat: np.ndarray[tuple[int], np.dtype[np.bool_]] = still >= np.minimum(positions, reach - 1)
    return flat


def scaled_up(*columns: Floats) -> tuple[Floats, ...]:
    """Scale columns by one power of two so that the largest value is near 2**60.

    TA-Lib treats anything below 1e-14 as zero, whatever the price is. Multiplying by a power of two changes no digit,
    so indicators without a unit keep their value and avoid that limit.
    """
    largest = max((float(np.nanmax(np.abs(column))) for column in columns if len(column)), default=0.0)
    if not 0.0 < largest < np.inf:
        return columns
    exponent = 60 - int(np.frexp(largest)[1])
    return tuple(np.ldexp(column, exponent) for column in columns)
