"""Samples: rows of features with known labels, aligned in time, to fit and to score with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from indicators.arrays import Float32s, Floats, Integers
from mlengine_project.research.times import Time, milliseconds
from mlengine_project.research.values import SIDES, index_of
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.scale import current_level

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows whose features and labels are known, oldest first, markets interleaved.

    Parameters
    ----------
    rows : Dataset
        As the engine trains on.
    """

    rows: Dataset

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def symbol(self) -> npt.NDArray[np.object_]:
        """Market of each row."""
        return np.array(self.rows.symbols, dtype=object)[self.rows.market]

    @property
    def open_time(self) -> Integers:
        """Open of each row's candle, ms since 1970 UTC."""
        return self.rows.open_time

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons of the labels, in candles."""
        return self.rows.horizons

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each column of the features."""
        return self.rows.feature_names

    @property
    def features(self) -> Float32s:
        """Shape (n, n_features); NaN where a feature of another package is unknown."""
        return self.rows.features

    @property
    def close(self) -> Floats:
        """Close of each row's candle."""
        return self.rows.close

    @property
    def sigma(self) -> Floats:
        """Volatility per candle, EWM over 72 candles."""
        return self.rows.sigma

    @property
    def labels(self) -> Floats:
        """``ln(H / C)`` and ``ln(C / L)`` over the next candles, shape (n, n_horizons, 2)."""
        return np.stack([self.rows.up, self.rows.down], axis=2)

    @property
    def targets(self) -> Floats:
        """The labels over ``sigma * sqrt(h)``: what a model forecasts quantiles of."""
        return self.labels / np.exp(current_level(self.horizons, self.sigma))[:, :, None]

    def split(self, time: Time) -> tuple[Samples, Samples]:
        """Rows whose labels are known at `time`, and rows that begin then; those between are dropped."""
        at = milliseconds(time)
        before, after = self.rows.ends <= at, self.rows.open_time >= at
        return Samples(self.rows.take(np.flatnonzero(before))), Samples(self.rows.take(np.flatnonzero(after)))

    def of(self, symbol: str) -> Samples:
        """Rows of one market."""
        return Samples(self.rows.of(symbol))

    def to_pandas(self) -> pd.DataFrame:
        """Frame with one row per sample: features, then labels as ``high_6``, ``low_6`` and so on."""
        import pandas as pd

        names = [f"{side}_{horizon}" for horizon in self.horizons for side in SIDES]
        index = index_of(self.symbol, self.open_time)
        features = pd.DataFrame(self.features, index, list(self.feature_names))
        return features.join(pd.DataFrame(self.labels.reshape(len(self), -1), index, names))
