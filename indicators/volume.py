"""Standard volume indicators: on which side, and at which price, the quantity was traded."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats, Integers

DAY_MS = 86_400_000


def obv(close: Floats, volume: Floats) -> Floats:
    """On-balance volume: volume added on a rise, taken off on a fall. Only its changes mean something.

    Examples
    --------
    >>> obv(np.array([1.0, 2.0, 1.5]), np.array([10.0, 5.0, 3.0])).tolist()
    [10.0, 15.0, 12.0]
    """
    import talib

    return talib.OBV(close, volume)


def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, window: int) -> Floats:
    """Money flow index: the relative strength index of typical price times volume, 0 to 100."""
    import talib

    return talib.MFI(high, low, close, volume, timeperiod=window)


def vwap(open_time: Integers, high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Volume-weighted typical price since midnight UTC.

    NaN on a day whose first candle is not among those given, and until something is traded on a day.

    Examples
    --------
    >>> price, traded = np.array([10.0, 20.0]), np.array([1.0, 3.0])
    >>> vwap(np.array([0, 300_000]), price, price, price, traded).tolist()
    [10.0, 17.5]
    """
    answer = np.full(len(open_time), np.nan)
    typical = (high + low + close) / 3.0
    days = open_time // DAY_MS
    starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))
    for start, stop in zip(starts, [*starts[1:], len(days)], strict=True):
        if open_time[start] % DAY_MS:
            continue
        traded = np.cumsum(volume[start:stop])
        worth = np.cumsum(typical[start:stop] * volume[start:stop])
        answer[start:stop] = np.where(traded > 0, worth / np.where(traded > 0, traded, 1.0), np.nan)
    return answer


def accumulation(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Chaikin's accumulation/distribution line: volume weighted by where the candle closed in its range, summed."""
    import talib

    return talib.AD(high, low, close, volume)
