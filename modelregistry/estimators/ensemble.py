"""The champions of the three kinds combined: forecasts, probabilities and warnings."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import BracketView, TpslClassifier

TOLERANCE = 0.15
"""Largest difference of two touch probabilities that still counts as agreement."""


@dataclass(frozen=True)
class Ensemble:
    """At most one estimator per kind, with the ids of their versions.

    Parameters
    ----------
    range_predictor, tpsl, signal : estimators or None
        None where a kind has no champion.
    versions : Mapping of kind to version id
    symbols : Mapping of kind to the symbols of its training set
    trained_until : Mapping of kind to the end of its training candles, aware UTC
    """

    range_predictor: RangePredictor | None
    tpsl: TpslClassifier | None
    signal: SignalClassifier | None
    versions: Mapping[str, str] = field(default_factory=dict)
    symbols: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trained_until: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted champion ids joined by commas."""
        return hashlib.sha256(",".join(sorted(self.versions.values())).encode()).hexdigest()

    @property
    def estimators(self) -> dict[str, RangePredictor | TpslClassifier | SignalClassifier]:
        """The estimators there are, by kind."""
        return {one.kind: one for one in (self.range_predictor, self.tpsl, self.signal) if one is not None}

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons of the range predictor; empty without one."""
        return self.range_predictor.horizons if self.range_predictor else ()

    @property
    def common_horizons(self) -> tuple[int, ...]:
        """Horizons of both the range predictor and the TP/SL classifier."""
        return tuple(h for h in self.horizons if self.tpsl is not None and h in self.tpsl.horizons)

    def covers(self, symbol: str) -> bool:
        """Whether every champion was trained on `symbol`."""
        return bool(self.versions) and all(symbol in self.symbols.get(kind, ()) for kind in self.versions)

    def out_of_distribution(self, features: np.ndarray) -> np.ndarray:
        """Whether each row lies outside the training distribution, shape (n_rows,).

        Measured by the range predictor; without one, by the first other champion.
        """
        first = next(iter(self.estimators.values()), None)
        return np.zeros(len(features), dtype=bool) if first is None else first.novelty.is_novel(features)


def disagreements(forecast: RangeForecast, view: BracketView | None) -> np.ndarray:
    """Whether a range forecast and the touch probabilities contradict each other, shape (n_rows,).

    At each quartile of the highs and lows the TP/SL classifier must give the probability of that level within
    :data:`TOLERANCE`. Rows agree where there is no TP/SL classifier.
    """
    worst = np.zeros(len(forecast))
    quartiles = [LEVELS.index(0.25), LEVELS.index(0.50), LEVELS.index(0.75)]
    for h in forecast.horizons:
        if view is None or h not in view.horizons:
            continue
        k = forecast.at(h)
        for prices, expected in (
            (forecast.high[:, k, quartiles], [0.75, 0.50, 0.25]),
            (forecast.low[:, k, quartiles], [0.25, 0.50, 0.75]),
        ):
            worst = np.maximum(worst, np.abs(view.touch(h, prices) - np.array(expected)).max(axis=1))
    return worst > TOLERANCE
