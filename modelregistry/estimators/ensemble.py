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

    def forecast(
        self, features: np.ndarray, close: np.ndarray, sigma: np.ndarray, log_factors: np.ndarray | None = None
    ) -> RangeForecast:
        """Forecast price ranges of every row and horizon, corrected by optional `log_factors`.

        Raises
        ------
        LookupError
            If there is no range predictor.
        """
        if self.range_predictor is None:
            raise LookupError("no range predictor")
        return self.range_predictor.predict(features, close, sigma, log_factors)

    def view(self, features: np.ndarray, close: np.ndarray, sigma: np.ndarray) -> BracketView:
        """Compute the scales of some rows once, for many brackets and prices.

        Raises
        ------
        LookupError
            If there is no TP/SL classifier.
        """
        if self.tpsl is None:
            raise LookupError("no TP/SL classifier")
        return self.tpsl.view(features, close, sigma)

    def probabilities(
        self,
        features: np.ndarray,
        close: np.ndarray,
        sigma: np.ndarray,
        horizon: int,
        side: str,
        take_profit: np.ndarray,
        stop_loss: np.ndarray,
    ) -> np.ndarray:
        """P(take-profit first), P(stop-loss first), P(neither), shape (n_rows, 3)."""
        return self.view(features, close, sigma).probabilities(horizon, side, take_profit, stop_loss)

    def touch(
        self, features: np.ndarray, close: np.ndarray, sigma: np.ndarray, horizon: int, price: np.ndarray
    ) -> np.ndarray:
        """P(the price is reached within the horizon), shape (n_rows,)."""
        return self.view(features, close, sigma).touch(horizon, price)

    def direction(self, features: np.ndarray) -> np.ndarray:
        """P(buy), P(sell), P(hold) at the decision horizon, shape (n_rows, 3).

        Raises
        ------
        LookupError
            If there is no signal classifier.
        """
        if self.signal is None:
            raise LookupError("no signal classifier")
        return self.signal.predict(features)

    def disagreements(
        self,
        features: np.ndarray,
        close: np.ndarray,
        sigma: np.ndarray,
        forecast: RangeForecast | None = None,
        view: BracketView | None = None,
    ) -> np.ndarray:
        """Whether the range forecast and the touch probabilities contradict each other, shape (n_rows,).

        At each quartile of the highs and lows the TP/SL classifier must give the probability of that level within
        :data:`TOLERANCE`. Rows agree where either estimator is missing.
        """
        if self.range_predictor is None or self.tpsl is None:
            return np.zeros(len(features), dtype=bool)
        forecast = forecast or self.forecast(features, close, sigma)
        view = view or self.view(features, close, sigma)
        shared = [h for h in forecast.horizons if h in view.horizons]
        worst = np.zeros(len(features))
        quartiles = [LEVELS.index(0.25), LEVELS.index(0.50), LEVELS.index(0.75)]
        for h in shared:
            k = forecast.at(h)
            for prices, expected in (
                (forecast.high[:, k, quartiles], [0.75, 0.50, 0.25]),
                (forecast.low[:, k, quartiles], [0.25, 0.50, 0.75]),
            ):
                worst = np.maximum(worst, np.abs(view.touch(h, prices) - np.array(expected)).max(axis=1))
        return worst > TOLERANCE

    def out_of_distribution(self, features: np.ndarray) -> np.ndarray:
        """Whether each row lies outside the training distribution, shape (n_rows,).

        Measured by the range predictor; without one, by the first other champion.
        """
        for estimator in (self.range_predictor, self.tpsl, self.signal):
            if estimator is not None:
                return estimator.novelty.is_novel(features)
        return np.zeros(len(features), dtype=bool)

    def too_wide(self, forecast: RangeForecast) -> np.ndarray:
        """Whether each row has an interval wider than the version's limit, shape (n_rows,)."""
        if self.range_predictor is None:
            return np.zeros(len(forecast), dtype=bool)
        return self.range_predictor.is_too_wide(forecast)
