"""Paired comparison of two forecasts whose outcomes overlap."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from indicators.candles import DAY_MS

BOOTSTRAP_SEED = 1
DRAWS = 500
BLOCK_DAYS = (1, 7)
"""Block lengths of the bootstrap; the larger error is used."""
Z_95 = 1.96
"""Standard errors from the mean to either end of a central 95 % interval."""


@dataclass(frozen=True)
class Comparison:
    """Mean of a paired difference with its error.

    Parameters
    ----------
    mean, error : float
        Mean difference and its block standard error; positive favours the first forecast.
    p_value : float
        One-sided Diebold-Mariano p-value of "the mean is not above zero".
    effective_n : float
        Number of independent observations with the same error.
    days : int
        Calendar days the rows fall on.
    """

    mean: float
    error: float
    p_value: float
    effective_n: float
    days: int

    @property
    def lower(self) -> float:
        """Lower bound of the central 95 % interval (Student's t with the days as observations)."""
        return self.mean - float(stdtrit(max(self.days - 1, 1), 0.975)) * self.error


def count_days(open_time: np.ndarray) -> int:
    """Number of calendar days (UTC) of the times, ms.

    >>> count_days(np.array([0, 1, 86_400_000]))
    2
    """
    return len(np.unique(open_time // DAY_MS))


def calendar_blocks(open_time: np.ndarray, days: int) -> np.ndarray:
    """Number of each row's block of `days` calendar days, counted from 0 without gaps.

    >>> calendar_blocks(np.array([0, 1, 3 * 86_400_000]), days=1).tolist()
    [0, 0, 1]
    """
    blocks: np.ndarray = np.unique(open_time // (days * DAY_MS), return_inverse=True)[1]
    return blocks


def resampled_ratios(
    values: np.ndarray, weights: np.ndarray, open_time: np.ndarray, days: int, draws: int
) -> np.ndarray:
    """``sum(values) / sum(weights)`` of `draws` resamples of calendar blocks of `days` days."""
    block = calendar_blocks(open_time, days)
    above, below = np.bincount(block, values), np.bincount(block, weights)
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(0, len(above), (draws, len(above)))
    ratios: np.ndarray = above[picks].sum(axis=1) / below[picks].sum(axis=1)
    return ratios


def block_error(values: np.ndarray, open_time: np.ndarray) -> float:
    """Standard error of a mean by a bootstrap over calendar blocks.

    Examples
    --------
    >>> times = np.arange(2000) * 300_000
    >>> block_error(np.ones(2000), times)
    0.0
    """
    ones = np.ones(len(values))
    return max(float(resampled_ratios(values, ones, open_time, days, DRAWS).std()) for days in BLOCK_DAYS)


def newey_west_error(values: np.ndarray, lags: int) -> float:
    """Standard error of a mean with Bartlett weights over `lags` neighbours.

    References
    ----------
    Newey, W. K. and West, K. D. (1987). A simple, positive semi-definite, heteroskedasticity and
    autocorrelation consistent covariance matrix. Econometrica, 55(3), 703-708.
    """
    n = len(values)
    centred = values - values.mean()
    variance = centred @ centred / n
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (centred[lag:] @ centred[:-lag]) / n
    return float(np.sqrt(max(variance, 0.0) / n))


def compare(first: np.ndarray, second: np.ndarray, open_time: np.ndarray, horizon: int, stride: int = 1) -> Comparison:
    """Compare two losses row by row; a positive mean favours `first`.

    Parameters
    ----------
    first, second : ndarray of shape (n_rows,)
        Losses of the two forecasts on the same rows, in time order.
    open_time : ndarray of shape (n_rows,)
    horizon, stride : int
        Candles of an outcome, and candles between rows; they determine the lags.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. Journal of Business and
    Economic Statistics, 13(3), 253-263. Small-sample factor: Harvey, Leybourne and Newbold (1997).
    """
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    n = len(difference)
    mean = float(difference.mean())
    lags = max(int(np.ceil(2 * horizon / stride)), 1)
    error = max(block_error(difference, open_time), newey_west_error(difference, lags))
    spread = float(difference.std())
    days = count_days(open_time)
    if error == 0.0 or n < 2:
        return Comparison(mean, error, 0.0 if mean > 0 else 1.0, float(n), days)
    small = np.sqrt(max((n + 1 - 2 * lags + lags * (lags - 1) / n) / n, 0.05))
    p_value = float(stdtr(max(min(n, days) - 1, 1), -small * mean / error))
    return Comparison(mean, error, p_value, float((spread / error) ** 2), days)
