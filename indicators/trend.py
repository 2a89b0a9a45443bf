"""Standard trend indicators: where the price stands against its own averages. TA-Lib does the arithmetic.

It is imported where it is called: it brings pandas along, and most processes never show an indicator.
"""

from __future__ import annotations

from indicators.arrays import Floats


def sma(values: Floats, window: int) -> Floats:
    """Mean of the last `window` values.

    Examples
    --------
    >>> import numpy as np
    >>> sma(np.array([1.0, 2.0, 6.0]), 2).tolist()
    [nan, 1.5, 4.0]
    """
    import talib

    return talib.SMA(values, timeperiod=window)


def ema(values: Floats, window: int) -> Floats:
    """Exponential mean in which a value weighs ``2 / (window + 1)``; begins as the mean of the first `window`."""
    import talib

    return talib.EMA(values, timeperiod=window)


def wma(values: Floats, window: int) -> Floats:
    """Mean with weights that rise by one from the oldest value to the newest."""
    import talib

    return talib.WMA(values, timeperiod=window)


def macd(close: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats, Floats]:
    """Fast less slow exponential mean, the exponential mean of that, and their difference."""
    import talib

    line, average, histogram = talib.MACD(close, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    return line, average, histogram


def adx(high: Floats, low: Floats, close: Floats, window: int) -> tuple[Floats, Floats, Floats]:
    """Average directional index, then the rising and the falling directional indicator, all 0 to 100."""
    import talib

    return (
        talib.ADX(high, low, close, timeperiod=window),
        talib.PLUS_DI(high, low, close, timeperiod=window),
        talib.MINUS_DI(high, low, close, timeperiod=window),
    )


def aroon(high: Floats, low: Floats, window: int) -> tuple[Floats, Floats]:
    """How recently the highest high and the lowest low of the window occurred, 100 = now."""
    import talib

    down, up = talib.AROON(high, low, timeperiod=window)
    return up, down
