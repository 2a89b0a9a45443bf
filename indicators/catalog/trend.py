"""Standard trend indicators: moving averages and the strength of a trend.

Means over a window are computed by `indicators.catalog.rolling`; recursive means are TA-Lib's. TA-Lib is
imported where it is called: it imports pandas, and most processes never show an indicator.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.catalog.rolling import deviations, is_unchanged, padded, rolling_mean, scaled_up

WILDER_REACH_WINDOWS = 21
"""Windows after which older values weigh less than 1e-9 in Wilder's mean: (1 - 1/n)^(21 n) < e^-21."""

EXPONENTIAL_REACH_WINDOWS = 11
"""The same for an exponential mean of span n: (1 - 2/(n + 1))^(11 n) < e^-20."""


def sma(values: Floats, window: int) -> Floats:
    """Mean of the last `window` values.

    Examples
    --------
    >>> import numpy as np
    >>> sma(np.array([1.0, 2.0, 6.0]), 2).tolist()
    [nan, 1.5, 4.0]
    """
    return rolling_mean(values, window)


def ema(values: Floats, window: int) -> Floats:
    """Exponential moving average in which a value weighs ``2 / (window + 1)``.

    It begins as the mean of the first `window` values.
    """
    import talib

    if len(values) == 0:
        return values
    # Distances from the first value, so that the mean of equal prices is that price to the last digit.
    return talib.EMA(values - values[0], timeperiod=window) + values[0]


def wma(values: Floats, window: int) -> Floats:
    """Mean with weights that rise by one from the oldest value to the newest.

    Examples
    --------
    >>> import numpy as np
    >>> wma(np.array([1.0, 4.0]), 2).tolist()
    [nan, 3.0]
    """
    weights = np.arange(1.0, window + 1.0)
    newest, deviation = deviations(values, window)
    return padded(newest + (deviation * weights).sum(axis=1) / weights.sum(), len(values))


def macd(close: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats, Floats]:
    """MACD line (fast less slow exponential mean), its exponential mean, and their difference."""
    import talib

    if len(close) == 0:
        return close, close, close
    line, average, histogram = talib.MACD(close - close[0], fastperiod=fast, slowperiod=slow, signalperiod=signal)
    return line, average, histogram


def adx(high: Floats, low: Floats, close: Floats, window: int) -> tuple[Floats, Floats, Floats]:
    """Average directional index, plus and minus directional indicators, all 0 to 100.

    The directional indicators are shares of the true range: NaN where that has been 0 throughout. The index is a mean
    of their relative difference: NaN where both are 0.

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems. Trend Research.
    """
    import talib

    high, low, close = scaled_up(high, low, close)
    index = talib.ADX(high, low, close, timeperiod=window)
    plus = talib.PLUS_DI(high, low, close, timeperiod=window)
    minus = talib.MINUS_DI(high, low, close, timeperiod=window)
    still = is_unchanged(WILDER_REACH_WINDOWS * window, high, low, close) & (high == low)
    plus[still] = minus[still] = np.nan
    index[still | ((plus == 0) & (minus == 0))] = np.nan
    return index, plus, minus


def aroon(high: Floats, low: Floats, window: int) -> tuple[Floats, Floats]:
    """Aroon up and down: recency of the window's extremes, 100 = now.

    Of equal extremes the newest counts.
    """
    import talib

    down, up = talib.AROON(high, low, timeperiod=window)
    return up, down
