"""Standard momentum indicators.

A share of a movement is undefined (NaN) where nothing moved: neither "oversold" nor "overbought" would be true.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.catalog.rolling import deviations, is_unchanged, padded, rolling_mean, scaled_up, window_rows
from indicators.catalog.trend import WILDER_REACH_WINDOWS


def rsi(close: Floats, window: int) -> Floats:
    """Wilder's relative strength index, 0 to 100; NaN where the price has not moved.

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems. Trend Research.
    """
    import talib

    (scaled,) = scaled_up(close)
    index = talib.RSI(scaled, timeperiod=window)
    index[is_unchanged(WILDER_REACH_WINDOWS * window, close)] = np.nan
    return index


def stochastic(high: Floats, low: Floats, close: Floats, window: int, smooth: int) -> tuple[Floats, Floats]:
    """Stochastic oscillator: smoothed place of the close in the range (%K) and its mean (%D).

    Both are 0 to 100.

    NaN where a range that enters has no width.

    Examples
    --------
    >>> import numpy as np
    >>> high, low = np.array([2.0, 3.0, 4.0]), np.array([1.0, 1.0, 2.0])
    >>> k, d = stochastic(high, low, np.array([2.0, 2.0, 4.0]), window=2, smooth=1)
    >>> k.tolist()
    [nan, 50.0, 100.0]
    """
    highest, lowest = _extremes(high, low, window)
    place = _share(close - lowest, highest - lowest)
    k = np.clip(rolling_mean(place, smooth), 0.0, 100.0)
    d = np.clip(rolling_mean(k, smooth), 0.0, 100.0)
    k[: window + 2 * smooth - 3] = np.nan  # TA-Lib gives the two together
    return k, d


def roc(close: Floats, window: int) -> Floats:
    """Change over `window` candles in percent.

    Examples
    --------
    >>> import numpy as np
    >>> roc(np.array([100.0, 101.0, 105.0]), 2).round(6).tolist()
    [nan, nan, 5.0]
    """
    import talib

    return talib.ROC(close, timeperiod=window)


def cci(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Commodity channel index.

    Distance of the typical price from its mean in units of 0.015 mean deviations. NaN where the typical price has not
    moved in the window.

    References
    ----------
    Lambert, D. R. (1980). Commodity channel index: tool for trading cyclic trends. Commodities, 9(10), 40-41.
    """
    _newest, deviation = deviations(close + ((high - close) + (low - close)) / 3.0, window)
    mean = deviation.mean(axis=1)
    spread = np.abs(deviation - mean[:, None]).mean(axis=1)
    index = np.where(spread > 0, -mean / np.where(spread > 0, 0.015 * spread, 1.0), np.nan)
    return padded(index, len(close))


def williams_r(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Williams %R: distance of the close below the window's highest high.

    From -100 (at the low) to 0 (at the high). NaN where the window has no range.
    """
    highest, lowest = _extremes(high, low, window)
    return _share(close - highest, highest - lowest)


def _extremes(high: Floats, low: Floats, window: int) -> tuple[Floats, Floats]:
    highest = padded(window_rows(high, window).max(axis=1), len(high))
    return highest, padded(window_rows(low, window).min(axis=1), len(low))


def _share(part: Floats, whole: Floats) -> Floats:
    """`part` in percent of `whole`; NaN where the whole is 0."""
    return np.where(whole > 0, 100.0 * (part / np.where(whole > 0, whole, 1.0)), np.nan)
