"""Out-of-distribution measure: distance of a row from the training rows, with a limit."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from modelregistry.estimators import parameters
from modelregistry.estimators.online.guard import NO_GUARD, Guard

CUT = 50.0
"""Standardised features are clipped here, so that one extreme value gives a large, finite distance."""


@dataclass(frozen=True)
class Novelty:
    """Robust Mahalanobis distance on a few features of the training rows.

    Parameters
    ----------
    columns : tuple of int
        Positions of the features used.
    centre, spread : ndarray of shape (n_columns,)
        Median and scaled interquartile range on the training rows.
    whitening : ndarray of shape (n_columns, n_columns)
        Transforms standardised features to uncorrelated ones of unit variance.
    limit : float
        Distances above it are out of distribution. At least the tail quantile of purged later rows, so that
        ordinary turbulent weeks are not flagged.
    guard : Guard
        Suppresses the measure in serving when it flags too many candles.
    """

    columns: tuple[int, ...]
    centre: np.ndarray
    spread: np.ndarray
    whitening: np.ndarray
    limit: float
    guard: Guard = NO_GUARD

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Root mean square distance per row, in standard deviations per feature; NaN gives infinity.

        Examples
        --------
        >>> plain = Novelty((0, 1), np.zeros(2), np.ones(2), np.eye(2), 3.0)
        >>> plain.distance(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).round(4).tolist()
        [3.5355, 0.0]
        """
        z = (np.asarray(features)[:, list(self.columns)].astype(np.float64) - self.centre) / self.spread
        z = np.clip(z, -CUT, CUT)
        total = np.zeros(len(z))
        for direction in self.whitening:
            total += (z * direction).sum(axis=1) ** 2
        return np.where(np.isfinite(total), np.sqrt(total / len(self.columns)), np.inf)

    def is_novel(self, features: np.ndarray) -> np.ndarray:
        """Whether each row is out of distribution, shape (n_rows,)."""
        return self.distance(features) > self.limit

    @classmethod
    def fit(cls, rows: np.ndarray, later: np.ndarray, columns: tuple[int, ...], tail: float = 0.0002) -> Self:
        """Fit on training rows; the limit is validated on `later` rows.

        Parameters
        ----------
        rows, later : ndarray of shape (n, n_features)
            Training rows and purged rows after them.
        columns : tuple of int
            Features to use; constant ones are dropped.
        tail : float
            Share of training rows that may be flagged.
        """
        seen = rows[:, list(columns)].astype(np.float64)
        low, centre, high = np.nanquantile(seen, [0.25, 0.5, 0.75], axis=0)
        spread = (high - low) / 1.349
        varies = spread > 1e-9
        columns = tuple(c for c, keep in zip(columns, varies, strict=True) if keep)
        centre, spread = centre[varies], spread[varies]
        z = np.nan_to_num(np.clip((seen[:, varies] - centre) / spread, -CUT, CUT), nan=0.0)
        values, vectors = np.linalg.eigh(np.cov(z, rowvar=False).reshape(len(columns), len(columns)))
        whitening = (vectors / np.sqrt(np.maximum(values, 0.05 * values.max()))).T
        bare = cls(columns, centre, spread, whitening, np.inf)
        # 1.25: a finite sample understates its tail; the later rows check the limit out of sample.
        limits = [1.25 * np.quantile(bare.distance(part), 1 - tail) for part in (rows, later) if len(part)]
        finite = [limit for limit in limits if np.isfinite(limit)]
        return cls(columns, centre, spread, whitening, float(max(finite, default=CUT)))

    def as_parameters(self) -> dict[str, Any]:
        """JSON values for :meth:`from_parameters`."""
        return {
            "columns": list(self.columns),
            "centre": self.centre,
            "spread": self.spread,
            "whitening": self.whitening,
            "limit": self.limit,
            "guard": self.guard.as_parameters(),
        }

    @classmethod
    def from_parameters(cls, kept: dict[str, Any]) -> Self:
        """Rebuild from JSON, checking every shape."""
        columns = tuple(int(c) for c in kept["columns"])
        n = len(columns)
        return cls(
            columns,
            parameters.array(kept["centre"], n),
            parameters.array(kept["spread"], n),
            parameters.array(kept["whitening"], n, n),
            float(kept["limit"]),
            # Older versions store no guard; they are never suppressed.
            Guard.from_parameters(kept.get("guard", NO_GUARD.as_parameters())),
        )
