"""Standard volume indicators."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.catalog.rolling import padded, window_rows


def obv(close: Floats, volume: Floats) -> Floats:
    """On-balance volume from the first candle: volume added on a rise, subtracted on a fall.

    Examples
    --------
    >>> obv(np.array([1.0, 2.0, 1.5]), np.array([10.0, 5.0, 3.0])).tolist()
    [10.0, 15.0, 12.0]
    """
    import talib

    return talib.OBV(close, volume)


def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, window: int) -> Floats:
    """Money flow index: share of rising candles in the money flow, 0 to 100.

    The flow of a candle is its typical price times its volume, its direction that of the typical price. NaN where
    there was no flow in the last `window` candles.

    Examples
    --------
    >>> price, traded = np.array([1.0, 2.0, 1.0]), np.array([1.0, 3.0, 2.0])
    >>> mfi(price, price, price, traded, window=2).tolist()
    [nan, nan, 75.0]
    """
    total = high + low + close
    flow = (total / 3.0)[1:] * volume[1:]
    change = np.diff(total)
    rising = window_rows(np.where(change > 0, flow, 0.0), window).sum(axis=1)
    falling = window_rows(np.where(change < 0, flow, 0.0), window).sum(axis=1)
    both = rising + falling
    return padded(np.where(both > 0, 100.0 * (rising / np.where(both > 0, both, 1.0)), np.nan), len(close))


def vwap(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Volume-weighted typical price since the first candle.

    A missing candle (NaN) adds nothing and has no value; NaN until something was traded.

    Examples
    --------
    >>> price, traded = np.array([10.0, np.nan, 20.0]), np.array([1.0, np.nan, 3.0])
    >>> vwap(price, price, price, traded).tolist()
    [10.0, nan, 17.5]
    """
    typical = close + ((high - close) + (low - close)) / 3.0
    known = np.isfinite(typical) & np.isfinite(volume)
    if not known.any():
        return np.full(len(close), np.nan)
    # Distances from the first price, so that a day at one price has exactly that price.
    reference = typical[np.argmax(known)]
    traded = np.cumsum(np.where(known, volume, 0.0))
    worth = np.cumsum(np.where(known, (typical - reference) * volume, 0.0))
    return np.where(known & (traded > 0), reference + worth / np.where(traded > 0, traded, 1.0), np.nan)


def accumulation(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """Accumulation/distribution line: sum of volume weighted by the close's place in the range."""
    import talib

    return talib.AD(high, low, close, volume)
