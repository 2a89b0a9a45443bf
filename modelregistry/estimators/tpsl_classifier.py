"""TP/SL classifier: which level of a bracket is reached first, and touch probabilities."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from modelregistry.estimators import extra, parameters, passage
from modelregistry.estimators.bracket_calibration import (
    SIDES,
    Calibration,
    calibrated_order,
    calibrated_touch,
    walk_middle,
)
from modelregistry.estimators.inputs import Columns, ModelInputs, own_features
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.scale import ScaleModel

FEW_VALUES = 4096
"""Values up to which all factors of a mixture are computed in one call."""


@dataclass(frozen=True)
class BracketView:
    """Scales of some rows, computed once for any number of brackets and prices.

    Every price array may have shape (n_rows,) or (n_rows, n_brackets).
    """

    horizons: tuple[int, ...]
    calibrations: tuple[Calibration, ...]
    close: np.ndarray
    sigma: np.ndarray
    log_scale: np.ndarray

    def probabilities(self, horizon: int, side: str, take_profit: np.ndarray, stop_loss: np.ndarray) -> np.ndarray:
        """P(take-profit first), P(stop-loss first), P(neither) on the last axis; they sum to 1.

        A candle that holds both levels counts as a stop-loss.
        """
        return self.ends(horizon, side, take_profit, stop_loss)[0]

    def ends(
        self, horizon: int, side: str, take_profit: np.ndarray, stop_loss: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The three probabilities, and the mean gross return if neither level is reached.

        The mean is the calibrated share of that of a driftless random walk.
        """
        return self._ends(horizon, *self.closed_form(horizon, side, take_profit, stop_loss))

    def ends_of_sides(
        self, horizon: int, above: np.ndarray, below: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """`ends` of the buys and of the sells between the same levels, which share the closed form."""
        near, far, tp, sl, deviation = self.closed_form(horizon, "buy", above, below)
        return self._ends(horizon, near, far, tp, sl, deviation), self._ends(horizon, far, near, sl, tp, deviation)

    def _ends(
        self, horizon: int, near: np.ndarray, far: np.ndarray, tp: np.ndarray, sl: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        calibration = self.calibrations[self._position(horizon)]
        touch = calibrated_touch(tp + sl, near + far, deviation, calibration.touch)
        order = calibrated_order(tp, sl, near, far, self._like(self.sigma, near), calibration.order)
        mean = calibration.middle * walk_middle(near, far, tp, sl)
        return np.stack([touch * order, touch * (1 - order), 1 - touch], axis=-1), mean

    def standard_error(self, horizon: int, side: str) -> float:
        """Standard error of an expected return, in units of the bracket width."""
        return self.calibrations[self._position(horizon)].errors[SIDES.index(side)]

    def touch(self, horizon: int, price: np.ndarray) -> np.ndarray:
        """Probability that the price is reached within the horizon."""
        distance, probability, deviation = self.closed_reach(horizon, price)
        result = calibrated_touch(probability, distance, deviation, self.calibrations[self._position(horizon)].single)
        return np.where(distance > 0.01 * deviation, result, 1.0)

    def expected_candles(self, horizon: int, side: str, take_profit: np.ndarray, stop_loss: np.ndarray) -> np.ndarray:
        """Expected candles until either level is reached, or `horizon` if neither is."""
        near, far = self._distances(side, take_profit, stop_loss)
        sides, axis = (np.stack([near, far]), np.stack([far, near])), -near.ndim - 1
        k = self._position(horizon)
        steps = np.linspace(0.0, 1.0, 25)[1:]
        untouched = [np.ones(near.shape)]
        for share in steps:
            deviation = self._deviation(k, near) * np.sqrt(share)
            exits = self._mixed(k, sides[0], lambda f, d=deviation: passage.first_exit(*sides, d * f).sum(axis=axis))
            untouched.append(1 - np.clip(exits, 0.0, 1.0))
        mean = (np.sum(untouched, axis=0) - (untouched[0] + untouched[-1]) / 2) / len(steps)
        return horizon * mean

    def closed_form(
        self, horizon: int, side: str, take_profit: np.ndarray, stop_loss: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Distances to take-profit and stop-loss, both random-walk probabilities, and the deviation."""
        near, far = self._distances(side, take_profit, stop_loss)
        k = self._position(horizon)
        deviation = self._deviation(k, near)
        sides = np.stack([near, far]), np.stack([far, near])
        tp, sl = self._mixed(k, sides[0], lambda factor: passage.first_exit(*sides, deviation * factor))
        return near, far, tp, sl, deviation

    def closed_reach(self, horizon: int, price: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance to a price, the random-walk probability of reaching it, and the deviation."""
        k = self._position(horizon)
        distance = np.abs(np.log(np.asarray(price, dtype=np.float64) / self._like(self.close, price)))
        deviation = self._deviation(k, distance)
        reached = self._mixed(k, distance, lambda factor: passage.reach(distance, deviation * factor))
        return distance, reached, deviation

    def _mixed(self, k: int, like: np.ndarray, result: Callable[..., np.ndarray]) -> np.ndarray:
        """Mean of a probability over the unknown true scale; `result` takes a factor, or factors on a first axis."""
        factors, weights = passage.mixture_nodes(self.calibrations[k].spread)
        # For few values one call on all factors costs a fraction; for many it would only need more memory.
        found = result(factors.reshape(-1, *[1] * like.ndim)) if like.size <= FEW_VALUES else map(result, factors)
        return sum(weight * one for weight, one in zip(weights, found, strict=True))

    def _deviation(self, k: int, like: np.ndarray) -> np.ndarray:
        return self._like(np.exp(np.ascontiguousarray(self.log_scale[:, k]) + self.calibrations[k].level), like)

    def _distances(self, side: str, take_profit: np.ndarray, stop_loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if side not in SIDES:
            raise ValueError(f"side {side!r} is not one of {list(SIDES)}")
        sign = 1.0 if side == "buy" else -1.0
        close = self._like(self.close, take_profit)
        near = sign * np.log(np.asarray(take_profit, dtype=np.float64) / close)
        far = -sign * np.log(np.asarray(stop_loss, dtype=np.float64) / close)
        if (near <= 0).any() or (far <= 0).any():
            raise ValueError("take_profit and stop_loss must lie on their own sides of the close")
        return near, far

    def _position(self, horizon: int) -> int:
        if horizon not in self.horizons:
            raise ValueError(f"horizon {horizon} is not one of {list(self.horizons)}")
        return self.horizons.index(horizon)

    @staticmethod
    def _like(values: np.ndarray, like: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        return values[:, None] if np.ndim(like) == 2 else values


@dataclass(frozen=True)
class TpslClassifier:
    """TP/SL classifier: scale model, random-walk closed forms, and their calibration."""

    kind: ClassVar[str] = "tpsl_classifier"

    scale: ScaleModel | extra.ExtraScale
    calibrations: tuple[Calibration, ...]
    novelty: Novelty
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    columns: Columns = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in candles, ascending."""
        return self.scale.horizons

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        return self.scale.n_features

    def view(self, inputs: ModelInputs) -> BracketView:
        """Compute the scales of some rows once, for many brackets and prices."""
        log_scale = self.scale.log_scale(own_features(inputs.features, self.columns), inputs.sigma)
        return BracketView(self.horizons, self.calibrations, inputs.close, inputs.sigma, log_scale)

    def outputs(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Outputs that are compared with the golden rows: probabilities of brackets one deviation wide."""
        found, view = {}, self.view(inputs)
        for horizon in self.horizons:
            reach = inputs.close * inputs.sigma * np.sqrt(horizon)
            for side, sign in (("buy", 1.0), ("sell", -1.0)):
                bracket = (inputs.close + sign * reach, inputs.close - sign * reach)
                found[f"{side}_{horizon}"] = view.probabilities(horizon, side, *bracket)
        return found

    def to_files(self) -> dict[str, bytes]:
        """Serialise to the files of an artifact: parameters and trees."""
        kept = {
            "kind": self.kind,
            "horizons": list(self.horizons),
            "n_features": self.n_features,
            "scale": self.scale.as_parameters(),
            "calibrations": [vars(one) for one in self.calibrations],
            "novelty": self.novelty.as_parameters(),
            "hyperparameters": self.hyperparameters,
        }
        return {parameters.FILE: parameters.dump(kept), **self.scale.to_files()}

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
        scale: ScaleModel | extra.ExtraScale
        if "estimator" in kept["scale"]:
            scale = extra.ExtraScale(horizons, n_features, extra.rebuild(kept["scale"]["estimator"], files))
        else:
            scale = ScaleModel.from_files(files, kept["scale"], horizons, n_features)
        calibrations = tuple(Calibration.from_parameters(one) for one in kept["calibrations"])
        if len(calibrations) != len(horizons):
            raise ValueError(f"{len(calibrations)} calibrations for {len(horizons)} horizons")
        return cls(scale, calibrations, Novelty.from_parameters(kept["novelty"]), kept["hyperparameters"])
