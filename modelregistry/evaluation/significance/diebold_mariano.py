"""Diebold-Mariano test with horizon lags and small-sample correction."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr


@dataclass(frozen=True)
class DieboldMariano:
    """Result of the test; a positive statistic favours the first forecast.

    Parameters
    ----------
    mean, error : float
        Mean of second loss minus first loss, and its standard error.
    statistic : float
        With small-sample correction; distributed as Student's t with ``n - 1`` degrees of freedom.
    p_better, p_differ : float
        One-sided p-value of "the first is no better", and the two-sided one of "they are equal".
    lags : int
        Number of autocovariances used.
    """

    mean: float
    error: float
    statistic: float
    p_better: float
    p_differ: float
    lags: int


def diebold_mariano(first: np.ndarray, second: np.ndarray, steps: int) -> DieboldMariano:
    """Test equal mean losses of two forecasts, on evenly spaced rows in time order.

    Parameters
    ----------
    first, second : ndarray of shape (n_rows,)
        Losses on the same rows.
    steps : int
        Horizon in rows, at least 1: losses fewer than ``steps`` rows apart share candles.

    Raises
    ------
    ValueError
        If `steps` is below 1 or there are not more rows than steps.

    Notes
    -----
    The long-run variance gives every lag below `steps` full weight, as the theory of optimal forecasts requires; where
    that sum is not positive, Bartlett weights are used. Volatility clustering makes losses dependent for longer than a
    horizon, so use the test together with the block intervals.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. Journal of Business and Economic
    Statistics, 13(3), 253-263.
    Harvey, D., Leybourne, S. and Newbold, P. (1997). Testing the equality of prediction mean squared errors.
    International Journal of Forecasting, 13(2), 281-291.

    Examples
    --------
    >>> found = diebold_mariano(np.array([1.0, 2.0, 1.0, 2.0]), np.array([3.0, 3.0, 2.0, 4.0]), steps=1)
    >>> found.mean, round(found.statistic, 3), found.lags  # for one step it is the paired t-test
    (1.5, 5.196, 0)
    """
    gain = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    n = len(gain)
    if steps < 1 or n <= steps:
        raise ValueError(f"{n} rows cannot be tested at {steps} steps")
    mean = float(gain.mean())
    centred = gain - mean
    lags = steps - 1
    shared = np.array([centred[lag:] @ centred[: n - lag] / n for lag in range(lags + 1)])
    variance = shared[0] + 2 * shared[1:].sum()
    if variance <= 0:
        variance = shared[0] + 2 * ((1 - np.arange(1, steps) / steps) * shared[1:]).sum()
    error = float(np.sqrt(max(variance, 0.0) / n))
    if error <= 1e-14 * max(abs(mean), 1e-300):
        p_value = 0.0 if mean > 0 else 1.0
        return DieboldMariano(mean, 0.0, 0.0, p_value, 1.0 if mean == 0 else 0.0, lags)
    correction = np.sqrt((n + 1 - 2 * steps + steps * (steps - 1) / n) / n)
    statistic = float(correction * mean / error)
    p_better, p_differ = float(stdtr(n - 1, -statistic)), float(2 * stdtr(n - 1, -abs(statistic)))
    return DieboldMariano(mean, error, statistic, p_better, p_differ, lags)
