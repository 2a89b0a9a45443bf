"""Inputs of the estimators for some candles."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = npt.NDArray[np.int64] | None
"""Positions of an estimator's own features in the rows it is given; None where they are the whole rows."""


def own_features(features: npt.NDArray[Any], columns: Columns) -> npt.NDArray[Any]:
    """Features that an estimator was trained on, in its order.

    Examples
    --------
    >>> own_features(np.array([[1.0, 2.0, 3.0]]), np.array([2, 0])).tolist()
    [[3.0, 1.0]]
    """
    return features if columns is None else np.ascontiguousarray(features[:, columns])


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """What the estimators read of n candles.

    Parameters
    ----------
    features : ndarray of shape (n, n_features), float32
        All NaN where the candle would be refused; its outputs then mean nothing.
    close : ndarray of shape (n,)
        Close of each candle, a price.
    sigma : ndarray of shape (n,)
        EWM volatility of log returns per candle; NaN during its warm-up.
    log_factors : ndarray of shape (n, n_horizons, 2, 7), optional
        Online correction of the range quantiles: logs of factors, never NaN, 0 where too few outcomes are known.
        None without correction.
    guard_suppresses : bool ndarray of shape (n,), optional
        Whether the guard suppresses out-of-distribution flags. None without guard.
    """

    features: npt.NDArray[np.float32]
    close: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    log_factors: npt.NDArray[np.float64] | None = None
    guard_suppresses: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.close)

    def take(self, rows: npt.NDArray[Any] | slice) -> "ModelInputs":
        """Select candles by position, by mask or by slice.

        Examples
        --------
        >>> inputs = ModelInputs(np.zeros((3, 2), dtype=np.float32), np.array([1.0, 2.0, 3.0]), np.ones(3))
        >>> inputs.take(np.array([2, 0])).close.tolist()
        [3.0, 1.0]
        """
        return replace(self, **{name: column[rows] for name, column in vars(self).items() if column is not None})

    def uncorrected(self) -> "ModelInputs":
        """The same candles without online correction and guard."""
        return ModelInputs(self.features, self.close, self.sigma)
