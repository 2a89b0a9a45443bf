"""Baselines without regression: driftless random walk, and climatology by hour of the week."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri

from indicators.candles import HOUR_MS
from modelregistry.estimators.forecast import LEVELS

HOURS = 7 * 24
MIN_ROWS_PER_HOUR = 50
"""Minimum rows of an hour of the week; with fewer it gets the quantiles of all rows."""


def walk_quantiles(sigma: np.ndarray, horizon: int, side: int) -> np.ndarray:
    """Quantiles of the maximum of a driftless random walk, as fractions of the close.

    The maximum of a Brownian path lies below a level with probability ``2 Phi(a / (sigma sqrt(h))) - 1``.

    Parameters
    ----------
    sigma : ndarray of shape (n_rows,)
        Per candle.
    horizon, side : int
        Side 0 is up and 1 down.

    Returns
    -------
    ndarray of shape (n_rows, 7)

    Examples
    --------
    >>> walk_quantiles(np.array([0.001]), 36, 0)[0, 3].round(6)
    np.float64(0.004055)
    """
    reach = sigma[:, None] * np.sqrt(horizon) * ndtri((1 + np.array(LEVELS)) / 2)
    return np.asarray(np.expm1(reach) if side == 0 else -np.expm1(-reach))


@dataclass(frozen=True)
class Climatology:
    """Climatology: quantiles of each hour of the week, UTC.

    Parameters
    ----------
    quantiles : ndarray of shape (168, 7)
    """

    quantiles: np.ndarray

    @classmethod
    def fit(cls, open_time: np.ndarray, actual: np.ndarray) -> Self:
        """Fit the quantiles on training rows.

        Parameters
        ----------
        open_time : ndarray of shape (n_rows,)
            Milliseconds.
        actual : ndarray of shape (n_rows,)
            Observed distance as a fraction of the close.
        """
        hour = open_time // HOUR_MS % HOURS
        found = np.tile(np.quantile(actual, LEVELS), (HOURS, 1))
        for one, count in enumerate(np.bincount(hour, minlength=HOURS)):
            if count >= MIN_ROWS_PER_HOUR:
                found[one] = np.quantile(actual[hour == one], LEVELS)
        return cls(found)

    def predict(self, open_time: np.ndarray) -> np.ndarray:
        """Quantiles of every row, shape (n_rows, 7).

        Examples
        --------
        >>> times = np.arange(20_000) * 300_000
        >>> busy = np.where(times // HOUR_MS % 24 < 12, 0.02, 0.01)
        >>> Climatology.fit(times, busy).predict(times[[0, 150]])[:, 3].tolist()
        [0.02, 0.01]
        """
        return np.asarray(self.quantiles[open_time // HOUR_MS % HOURS])
