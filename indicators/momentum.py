"""Standard momentum indicators: how fast and how one-sidedly the price has moved. TA-Lib does the arithmetic."""

from __future__ import annotations

from indicators.arrays import Floats


def rsi(close: Floats, window: int) -> Floats:
    """Wilder's relative strength index, 0 to 100; TA-Lib's convention for a price that never moved is 0."""
    import talib

    return talib.RSI(close, timeperiod=window)


def stochastic(high: Floats, low: Floats, close: Floats, window: int, smooth: int) -> tuple[Floats, Floats]:
    """Place of the close in the range of the window (%K, smoothed) and its mean (%D), 0 to 100."""
    import talib

    k, d = talib.STOCH(high, low, close, fastk_period=window, slowk_period=smooth, slowd_period=smooth)
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
    """Commodity channel index: distance of the typical price from its mean in units of 0.015 mean deviations."""
    import talib

    return talib.CCI(high, low, close, timeperiod=window)


def williams_r(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Distance of the close below the highest high of the window, -100 (at the low) to 0 (at the high)."""
    import talib

    return talib.WILLR(high, low, close, timeperiod=window)
