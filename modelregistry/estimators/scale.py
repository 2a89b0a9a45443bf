"""Scale model: log of the future price range, shared by highs, lows and brackets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from modelregistry.estimators import boosting, parameters

CLIP = 6.0
"""Standardised features are clipped here, so that one extreme candle cannot dominate a linear model."""
VOLATILITY_SHARE = 0.5
"""Share of the current volatility in the starting point of the trees."""
CHUNK = 32_768
"""Rows processed at once; bounds the memory of a replay of years."""


@dataclass(frozen=True)
class LinearScale:
    """Ridge regression of log range on standardised features; missing ones count as average.

    Parameters
    ----------
    centre, spread : ndarray of shape (n_features,)
        Standardisation learned on the training rows.
    weights : ndarray of shape (n_horizons, n_features)
    intercept : ndarray of shape (n_horizons,)
    """

    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def standardise(self, features: np.ndarray) -> np.ndarray:
        """Centre, scale and clip at :data:`CLIP`; NaN becomes 0."""
        z = (features - self.centre) / self.spread
        return np.nan_to_num(np.clip(z, -CLIP, CLIP), nan=0.0)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Log range per horizon, shape (n_rows, n_horizons).

        Summed row by row, not through BLAS, whose order of summation depends on the number of rows.

        Examples
        --------
        >>> one = LinearScale(np.zeros(2), np.ones(2), np.array([[1.0, 2.0]]), np.array([-5.0]))
        >>> one.predict(np.array([[0.5, 1.0], [np.nan, 1.0]])).tolist()
        [[-2.5], [-3.0]]
        """
        result = np.empty((len(features), len(self.intercept)))
        for start in range(0, len(features), CHUNK):
            z = self.standardise(features[start : start + CHUNK].astype(np.float64))
            for k, weights in enumerate(self.weights):
                result[start : start + CHUNK, k] = (z * weights).sum(axis=1) + self.intercept[k]
        return result

    def as_parameters(self) -> dict[str, Any]:
        """JSON values for :meth:`from_parameters`."""
        return {
            "centre": self.centre,
            "spread": self.spread,
            "weights": self.weights,
            "intercept": self.intercept,
        }

    @classmethod
    def from_parameters(cls, kept: dict[str, Any], n_horizons: int, n_features: int) -> Self:
        """Rebuild from JSON, checking every shape."""
        return cls(
            parameters.array(kept["centre"], n_features),
            parameters.array(kept["spread"], n_features),
            parameters.array(kept["weights"], n_horizons, n_features),
            parameters.array(kept["intercept"], n_horizons),
        )


@dataclass(frozen=True)
class ScaleModel:
    """Log of the range ``log(H / L)`` of the next candles.

    Trees are fitted to the residuals of a mean of two predictions: a ridge regression, which extrapolates but depends
    on its training years, and the current volatility, which is robust.

    Parameters
    ----------
    horizons : tuple of int
        Horizons in candles, ascending.
    linear : LinearScale
        The ridge regression.
    level : ndarray of shape (n_horizons,)
        Mean log of range over ``sigma * sqrt(h)``.
    boosters : sequence of Booster
        One per horizon, fitted to the residuals of the starting point.
    """

    horizons: tuple[int, ...]
    linear: LinearScale
    level: np.ndarray
    boosters: Sequence[boosting.Booster]

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return len(self.linear.centre)

    def log_scale(self, features: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Predicted ``log(log(H / L))`` per horizon, float64 of shape (n_rows, n_horizons)."""
        result = base_prediction(self.linear, self.level, self.horizons, features, sigma)
        for k, booster in enumerate(self.boosters):
            result[:, k] += boosting.margin(booster, features)
        return result

    def to_files(self) -> dict[str, bytes]:
        """Serialise the trees, one file per horizon."""
        return {f"scale_{h}.ubj": boosting.to_bytes(b) for h, b in zip(self.horizons, self.boosters, strict=True)}

    def as_parameters(self) -> dict[str, Any]:
        """JSON values for :meth:`from_files`, without the trees."""
        return {"linear": self.linear.as_parameters(), "level": self.level}

    @classmethod
    def from_files(
        cls, files: dict[str, bytes], kept: dict[str, Any], horizons: tuple[int, ...], n_features: int
    ) -> Self:
        """Rebuild from an artifact's files.

        Raises
        ------
        ValueError
            If a tree file is missing or has another number of features.
        """
        boosters = [boosting.from_file(files, f"scale_{h}.ubj", n_features) for h in horizons]
        linear = LinearScale.from_parameters(kept["linear"], len(horizons), n_features)
        return cls(horizons, linear, parameters.array(kept["level"], len(horizons)), boosters)


def current_level(horizons: tuple[int, ...], sigma: np.ndarray) -> np.ndarray:
    """Log of ``sigma * sqrt(h)``, shape (n_rows, n_horizons)."""
    root = 0.5 * np.log(np.array(horizons, dtype=np.float64))
    return np.log(np.ascontiguousarray(sigma, dtype=np.float64))[:, None] + root


def base_prediction(
    linear: LinearScale, level: np.ndarray, horizons: tuple[int, ...], features: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Base prediction of the trees: weighted mean of ridge regression and current volatility."""
    current = current_level(horizons, sigma) + level
    return VOLATILITY_SHARE * current + (1.0 - VOLATILITY_SHARE) * linear.predict(features)
