"""Volatility: the engine's unit of scale (`ewm_sigma`) and standard volatility indicators."""

from __future__ import annotations

import math

import numpy as np

from indicators.arrays import Floats
from indicators.candles import CandleGrid
from indicators.catalog.rolling import deviations, padded
from indicators.kernels import WindowSums

SIGMA_FLOOR = 1e-6
"""Lower bound of the volatility per candle: a flat market has this one, so that nothing divides by 0."""

PARKINSON = 4.0 * math.log(2.0)
"""E[ln(high/low)^2] of a driftless walk is this times its variance."""


def squared_span(grid: CandleGrid) -> Floats:
    """Parkinson's variance of each candle, shape (m, n); 0 where there is no candle."""
    present = grid.present
    ratio = np.where(present, grid.high, 1.0) / np.where(present, grid.low, 1.0)
    span = np.log(np.ascontiguousarray(ratio))
    return span * span / PARKINSON


def sigma_memory(span: int) -> tuple[float, int]:
    """Decay per candle and window length of `ewm_sigma` for a span."""
    decay = 1.0 - 2.0 / (span + 1.0)
    return decay, 1 if decay == 0 else 1 << math.ceil(math.log2(max(1.0, math.log(1e-12) / math.log(decay))))


def ewm_sigma(grid: CandleGrid, rows: int, span: int = 72) -> Floats:
    """Exponentially weighted Parkinson volatility of log returns per candle.

    It is the root of an exponentially weighted mean of Parkinson variances. Backward-looking: row ``t`` reads candles
    up to ``t`` and none beyond a fixed reach (1,024 candles at span 72, where the weights left out sum to less than
    1e-12), so any history at least that long gives the same bits.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first; before the first one nothing is assumed.
    rows : int
        Number of newest rows wanted, at most ``len(grid)``.
    span : int, default 72
        As in ``pandas.Series.ewm(span=...)``: the weight of a candle is ``1 - 2 / (span + 1)`` times the next one's.

    Returns
    -------
    float64 array of shape (m, rows)
        Standard deviation per candle, a fraction of price, at least `SIGMA_FLOOR`. NaN where the row's own candle is
        missing; older missing candles weigh nothing.

    Raises
    ------
    ValueError
        If `span` is below 1 or `rows` is more than there are.

    References
    ----------
    Parkinson, M. (1980). The extreme value method for estimating the variance of the rate of return. Journal of
    Business, 53(1), 61-65.

    Examples
    --------
    >>> columns = {"open": [100.0], "high": [110.0], "low": [100.0], "close": [105.0], "volume": [1.0]}
    >>> ewm_sigma(CandleGrid.from_columns([0], columns), rows=1).round(4).tolist()
    [[0.0572]]
    """
    if span < 1:
        raise ValueError(f"span must be at least 1, got {span}")
    if not 0 < rows <= len(grid):
        raise ValueError(f"rows must be 1 to {len(grid)}, got {rows}")
    decay, reach = sigma_memory(span)
    grid = grid.tail(rows + reach - 1)
    lead = rows + reach - 1 - len(grid)
    variance, weight = squared_span(grid), grid.present.astype(np.float64)
    if lead:
        variance, weight = np.pad(variance, ((0, 0), (lead, 0))), np.pad(weight, ((0, 0), (lead, 0)))
    total = WindowSums(variance, rows, decay).total(reach)
    weights = WindowSums(weight, rows, decay).total(reach)
    sigma = np.sqrt(total / np.maximum(weights, np.finfo(np.float64).tiny))
    return np.where(grid.present[:, -rows:], np.maximum(sigma, SIGMA_FLOOR), np.nan)


def atr(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Average true range: Wilder's mean of the true range, in price units."""
    import talib  # imports pandas, which feature computation does not need

    return talib.ATR(high, low, close, timeperiod=window)


def bollinger(close: Floats, window: int, width: float) -> tuple[Floats, Floats, Floats]:
    """Bollinger bands (upper, middle, lower): mean close and `width` standard deviations around it.

    Where the price did not change all three are exactly that price.

    Examples
    --------
    >>> upper, middle, lower = bollinger(np.array([0.1, 0.1, 0.1]), window=3, width=2.0)
    >>> upper[-1], middle[-1], lower[-1]
    (np.float64(0.1), np.float64(0.1), np.float64(0.1))
    """
    newest, deviation = deviations(close, window)
    mean = deviation.mean(axis=1)
    spread = width * np.sqrt(np.square(deviation - mean[:, None]).mean(axis=1))
    return tuple(padded(newest + (mean + side * spread), len(close)) for side in (1.0, 0.0, -1.0))  # type: ignore[return-value]
