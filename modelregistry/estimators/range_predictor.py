"""Range predictor: quantiles of the highest high and lowest low of the next candles."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from modelregistry.estimators import extra, parameters
from modelregistry.estimators.forecast import LEVELS, RangeForecast, nested
from modelregistry.estimators.inputs import Columns, ModelInputs, own_features
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.estimators.residuals import ResidualQuantiles
from modelregistry.estimators.scale import ScaleModel


@dataclass(frozen=True)
class RangePredictor:
    """Range predictor: a scale model, and quantiles of high and low in its units.

    Parameters
    ----------
    scale : ScaleModel
        Predicts the log of the future range.
    residuals : ResidualQuantiles
        Quantiles of high and low in units of the predicted range; conformally corrected.
    novelty : Novelty
        Distance of a row to the training set.
    widest : ndarray of shape (n_horizons,)
        Log widths (5 % low to 95 % high) above it are flagged as too wide.
    hyperparameters : dict
        Settings of the fit and values it selected.
    correction : Correction
        Online correction by recent misses; inactive where disabled in training.
    columns : ndarray of int or None
        Positions of its features in the rows of this installation; None where they are all.
    """

    kind: ClassVar[str] = "range_predictor"

    scale: ScaleModel | extra.ExtraScale
    residuals: ResidualQuantiles | extra.ExtraQuantiles
    novelty: Novelty
    widest: np.ndarray
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    correction: Correction = NO_CORRECTION
    columns: Columns = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in candles, ascending."""
        return self.scale.horizons

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return self.scale.n_features

    def predict(self, inputs: ModelInputs) -> RangeForecast:
        """Forecast the candles after each row, corrected where the inputs hold an online correction."""
        quantiles = self.distances(inputs.features, inputs.sigma)
        if inputs.log_factors is not None:
            quantiles = quantiles * np.exp(np.ascontiguousarray(inputs.log_factors))
        return RangeForecast.from_distances(self.horizons, inputs.close, quantiles[:, :, 0], quantiles[:, :, 1])

    def outputs(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Outputs that are compared with the golden rows: highs and lows."""
        forecast = self.predict(inputs)
        return {"high": forecast.high, "low": forecast.low}

    def distances(self, features: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """Uncorrected quantiles of ``log(H / C)`` and ``log(C / L)``, shape (n_rows, n_horizons, 2, 7)."""
        features = own_features(features, self.columns)
        sides = self.residuals.distances(self.scale.log_scale(features, sigma), features)
        return np.stack([nested(side) for side in sides], axis=2)

    def is_too_wide(self, forecast: RangeForecast) -> np.ndarray:
        """Whether the 5-to-95 % interval of any horizon exceeds its limit."""
        return np.any(forecast.width() > self.widest, axis=1)

    def to_files(self) -> dict[str, bytes]:
        """Serialise to the files of an artifact: parameters and trees."""
        kept = {
            "kind": self.kind,
            "horizons": list(self.horizons),
            "n_features": self.n_features,
            "levels": list(LEVELS),
            "scale": self.scale.as_parameters(),
            "residuals": self.residuals.as_parameters(),
            "novelty": self.novelty.as_parameters(),
            "widest": self.widest,
            "hyperparameters": self.hyperparameters,
            "correction": self.correction.as_parameters(),
        }
        return {parameters.FILE: parameters.dump(kept), **self.scale.to_files(), **self.residuals.to_files()}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Rebuild from an artifact.

        Raises
        ------
        ValueError
            If a file is missing, torn or of another shape.
        """
        kept = parameters.load(files, cls.kind)
        horizons = tuple(int(h) for h in kept["horizons"])
        n_features = int(kept["n_features"])
        if tuple(kept["levels"]) != LEVELS:
            raise ValueError(f"quantile levels are {kept['levels']}, expected {list(LEVELS)}")
        scale: ScaleModel | extra.ExtraScale
        residuals: ResidualQuantiles | extra.ExtraQuantiles
        if "estimator" in kept["residuals"]:
            scale = extra.ExtraScale(horizons, n_features)
            residuals = extra.ExtraQuantiles(horizons, extra.rebuild(kept["residuals"]["estimator"], files))
        else:
            scale = ScaleModel.from_files(files, kept["scale"], horizons, n_features)
            residuals = ResidualQuantiles.from_files(files, kept["residuals"], horizons, n_features)
        return cls(
            scale,
            residuals,
            Novelty.from_parameters(kept["novelty"]),
            parameters.array(kept["widest"], len(horizons)),
            kept["hyperparameters"],
            # Older versions store no correction; they stay uncorrected.
            Correction.from_parameters(kept.get("correction", NO_CORRECTION.as_parameters())),
        )
