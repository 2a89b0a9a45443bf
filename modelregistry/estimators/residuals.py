"""Conditional quantiles of highs and lows in units of the predicted range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from modelregistry.estimators import boosting, parameters
from modelregistry.estimators.forecast import LEVELS

CLIP = 4.0
"""Standardised conditions are clipped here."""
SIDES = ("up", "down")
CHUNK = 8_192
"""Rows processed at once."""


@dataclass(frozen=True)
class ResidualQuantiles:
    """Quantiles of distance over scale: mean of linear quantile regressions and quantile trees.

    There is one regression per horizon, side and level, and one set of trees per side for all horizons with the log
    horizon as a feature: pooling keeps the trees from overfitting the few independent outcomes of long horizons.

    Parameters
    ----------
    columns : tuple of int
        Features of the regressions; may be empty.
    centre, spread : ndarray of shape (n_columns,)
        Standardisation of those features.
    base : ndarray of shape (n_horizons, 2, 7)
        Intercepts: quantiles at average conditions; side 0 is up, side 1 is down.
    slopes : ndarray of shape (n_horizons, 2, 7, n_columns)
        Change of each quantile per standard deviation of a condition.
    correction : ndarray of shape (n_horizons, 2, 7)
        Conformal factors from held-out rows, near 1.
    horizons : tuple of int
        Horizons of the trees, in candles.
    unit : ndarray of shape (n_horizons, 2)
        Median distance over scale; tree outputs are multiplied by it.
    trees : sequence of Booster
        One per side, or none: then only the regressions are used.
    """

    columns: tuple[int, ...]
    centre: np.ndarray
    spread: np.ndarray
    base: np.ndarray
    slopes: np.ndarray
    correction: np.ndarray
    horizons: tuple[int, ...] = ()
    unit: np.ndarray | None = None
    trees: Sequence[boosting.Booster] = ()

    def conditions(self, features: np.ndarray) -> np.ndarray:
        """Standardised conditions, shape (n_rows, n_columns); NaN counts as average."""
        z = (np.asarray(features)[:, list(self.columns)].astype(np.float64) - self.centre) / self.spread
        return np.nan_to_num(np.clip(z, -CLIP, CLIP), nan=0.0)

    def distances(self, log_scale: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles of ``log(H / C)`` and ``log(C / L)``, each of shape (n_rows, n_horizons, 7)."""
        scale = np.exp(np.ascontiguousarray(log_scale))
        sides = tuple(np.empty((len(scale), *self.base[:, 0].shape)) for _ in SIDES)
        for start in range(0, len(scale), CHUNK):
            rows = slice(start, start + CHUNK)
            z = self.conditions(features[rows])
            for side, found in enumerate(sides):
                units = self.lines(side, z)
                if self.trees and self.unit is not None:
                    units = 0.5 * (
                        units + tree_quantiles(self.trees[side], features[rows], self.horizons, self.unit[:, side])
                    )
                found[rows] = units * self.correction[:, side] * scale[rows, :, None]
        return sides[0], sides[1]

    def lines(self, side: int, z: np.ndarray) -> np.ndarray:
        """Quantiles of the linear regressions in units of scale, shape (n_rows, n_horizons, 7)."""
        found = np.broadcast_to(self.base[:, side], (len(z), *self.base[:, side].shape)).copy()
        for c in range(len(self.columns)):
            found += z[:, c, None, None] * self.slopes[:, side, :, c]
        return np.maximum(found, 0.0)

    def to_files(self) -> dict[str, bytes]:
        """Serialise the trees, one file per side."""
        return {f"residual_{name}.ubj": boosting.to_bytes(one) for name, one in zip(SIDES, self.trees, strict=False)}

    def as_parameters(self) -> dict[str, Any]:
        """JSON values for :meth:`from_files`, without the trees."""
        return {
            "columns": list(self.columns),
            "centre": self.centre,
            "spread": self.spread,
            "base": self.base,
            "slopes": self.slopes,
            "correction": self.correction,
            "unit": self.unit,
            "with_trees": bool(self.trees),
        }

    @classmethod
    def from_files(
        cls, files: dict[str, bytes], kept: dict[str, Any], horizons: tuple[int, ...], n_features: int
    ) -> Self:
        """Rebuild from an artifact's files.

        Raises
        ------
        ValueError
            If a column does not exist, a shape is wrong or a tree file is missing.
        """
        columns = tuple(int(c) for c in kept["columns"])
        if any(not 0 <= c < n_features for c in columns):
            raise ValueError(f"a condition column is outside 0..{n_features - 1}")
        shape = (len(horizons), 2, len(LEVELS))
        names = SIDES if kept["with_trees"] else ()
        trees = tuple(boosting.from_file(files, f"residual_{name}.ubj", n_features + 1) for name in names)
        return cls(
            columns,
            parameters.array(kept["centre"], len(columns)),
            parameters.array(kept["spread"], len(columns)),
            parameters.array(kept["base"], *shape),
            parameters.array(kept["slopes"], *shape, len(columns)),
            parameters.array(kept["correction"], *shape),
            horizons,
            parameters.array(kept["unit"], len(horizons), 2) if trees else None,
            trees,
        )


def pooled_rows(features: np.ndarray, horizons: Sequence[int]) -> np.ndarray:
    """Repeat every row once per horizon with the log horizon appended.

    Float32 of shape (n_rows * n_horizons, n_features + 1).

    Examples
    --------
    >>> pooled_rows(np.array([[7.0]], dtype=np.float32), (1, 1)).tolist()
    [[7.0, 0.0], [7.0, 0.0]]
    """
    stacked = np.empty((len(features), len(horizons), features.shape[1] + 1), dtype=np.float32)
    stacked[:, :, :-1] = features[:, None, :]
    stacked[:, :, -1] = np.log(np.array(horizons, dtype=np.float64))
    return stacked.reshape(-1, stacked.shape[2])


def tree_quantiles(
    booster: boosting.Booster, features: np.ndarray, horizons: Sequence[int], unit: np.ndarray
) -> np.ndarray:
    """Sorted quantiles of one side in units of scale, shape (n_rows, n_horizons, 7)."""
    margins = boosting.margin(booster, pooled_rows(features, horizons))
    ordered = np.sort(np.maximum(margins, 0.0), axis=1)
    return ordered.reshape(len(features), len(horizons), -1) * unit[:, None]
