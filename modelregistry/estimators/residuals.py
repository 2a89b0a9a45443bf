"""Where highs and lows fall in units of the predicted range, given what the candles look like."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from modelregistry.estimators import parameters
from modelregistry.estimators.forecast import LEVELS

CLIP = 4.0
"""Standardised conditions are cut here."""


@dataclass(frozen=True)
class ResidualQuantiles:
    """Linear quantile regressions of distance over scale, one per horizon, side and level.

    Parameters
    ----------
    columns : tuple of int
        Features the quantiles depend on; may be empty.
    centre, spread : ndarray of shape (n_columns,)
        Standardisation of those features.
    base : ndarray of shape (n_horizons, 2, 7)
        Quantiles at average conditions; side 0 is up, side 1 is down.
    slopes : ndarray of shape (n_horizons, 2, 7, n_columns)
        Change of each quantile per standard deviation of a condition.
    correction : ndarray of shape (n_horizons, 2, 7)
        Conformal factors from purged later rows, near 1.
    """

    columns: tuple[int, ...]
    centre: np.ndarray
    spread: np.ndarray
    base: np.ndarray
    slopes: np.ndarray
    correction: np.ndarray

    def conditions(self, features: np.ndarray) -> np.ndarray:
        """Standardised conditions, shape (n_rows, n_columns); NaN counts as average."""
        z = (np.asarray(features)[:, list(self.columns)].astype(np.float64) - self.centre) / self.spread
        return np.nan_to_num(np.clip(z, -CLIP, CLIP), nan=0.0)

    def distances(self, log_scale: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles of ``log(H / C)`` and ``log(C / L)``, each of shape (n_rows, n_horizons, 7)."""
        scale = np.exp(np.ascontiguousarray(log_scale))
        z = self.conditions(features)
        sides = []
        for side in (0, 1):
            found = np.broadcast_to(self.base[:, side], (len(z), *self.base[:, side].shape)).copy()
            for c in range(len(self.columns)):
                found += z[:, c, None, None] * self.slopes[:, side, :, c]
            sides.append(np.maximum(found, 0.0) * self.correction[:, side] * scale[:, :, None])
        return sides[0], sides[1]

    def to_files(self) -> dict[str, bytes]:
        """No file of its own: everything is in the parameters."""
        return {}

    def as_parameters(self) -> dict[str, Any]:
        """What :meth:`from_files` reads."""
        return {
            "columns": list(self.columns),
            "centre": self.centre,
            "spread": self.spread,
            "base": self.base,
            "slopes": self.slopes,
            "correction": self.correction,
        }

    @classmethod
    def from_files(
        cls,
        files: dict[str, bytes],  # noqa: ARG003
        kept: dict[str, Any],
        n_horizons: int,
        n_features: int,
    ) -> Self:
        """Rebuild from an artifact's files.

        Raises
        ------
        ValueError
            If a column does not exist or a shape is wrong.
        """
        columns = tuple(int(c) for c in kept["columns"])
        if any(not 0 <= c < n_features for c in columns):
            raise ValueError(f"a condition column is outside 0..{n_features - 1}")
        shape = (n_horizons, 2, len(LEVELS))
        return cls(
            columns,
            parameters.array(kept["centre"], len(columns)),
            parameters.array(kept["spread"], len(columns)),
            parameters.array(kept["base"], *shape),
            parameters.array(kept["slopes"], *shape, len(columns)),
            parameters.array(kept["correction"], *shape),
        )
