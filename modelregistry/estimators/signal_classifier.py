"""Signal classifier: probabilities of buy, sell and hold, from a meta-labelled primary side."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from modelregistry.estimators import boosting, extra, parameters
from modelregistry.estimators.inputs import Columns, ModelInputs, own_features
from modelregistry.estimators.novelty import Novelty

CLASSES: tuple[str, ...] = ("buy", "sell", "hold")
"""Class order of every output, stored in the artifact too."""
LogOdds = boosting.Booster | extra.ExtraOdds
_TREES = {"touch": "touch.ubj", "primary": "primary.ubj", "meta": "meta.ubj"}


@dataclass(frozen=True)
class SignalClassifier:
    """P(buy), P(sell), P(hold): a touch probability divided between the sides by a meta-label.

    A primary model selects a side. The meta-label is the probability that acting on it pays: that a barrier of the
    triple barrier is touched with a move larger than the costs, times the share of such touches on that side. Both
    factors are shrunk towards reference values (the base rate, and one half) as purged later rows require.

    Parameters
    ----------
    horizon : int
        Decision horizon in candles.
    touch : Booster
        Log odds that acting on either side pays.
    primary : Booster
        Log odds of buying against selling; its sign is the side.
    meta : Booster
        Log odds that the primary's side pays rather than the other one, given the features and that side (1 or -1).
    base_rate : ndarray of shape (3,)
        Class shares of the training rows.
    trust : float
        Share of `touch`'s deviation from the base rate (in log odds) that later rows support, 0 to 1.
    meta_trust : float
        Share of `meta`'s log odds that later rows support, 0 to 1.
    directional : bool
        Whether walk-forward folds showed that the side has skill; else each side gets half the touch probability.
    """

    kind: ClassVar[str] = "signal_classifier"

    horizon: int
    touch: LogOdds
    primary: LogOdds
    meta: LogOdds
    base_rate: np.ndarray
    trust: float
    meta_trust: float
    novelty: Novelty
    n_features: int
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    directional: bool = True
    columns: Columns = None

    @property
    def horizons(self) -> tuple[int, ...]:
        """The decision horizon alone."""
        return (self.horizon,)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities in the order of :data:`CLASSES`, shape (n_rows, 3); each row sums to 1."""
        touched = self.touch_probability(features)
        if self.directional and self.meta_trust > 0:
            side = self.side(features)
            share = sigmoid(self.meta_trust * self.meta_log_odds(features, side))
            buy = np.where(side > 0, share, 1.0 - share)
        else:
            buy = np.full(len(touched), 0.5)
        return np.column_stack([touched * buy, touched * (1.0 - buy), 1.0 - touched])

    def outputs(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Outputs that are compared with the golden rows: class probabilities."""
        return {"probabilities": self.predict(inputs.features)}

    def touch_probability(self, features: np.ndarray) -> np.ndarray:
        """Probability that acting on either side pays, shape (n_rows,)."""
        log_odds = log_odds_of(self.touch, own_features(features, self.columns))
        return shrunk_probability(log_odds, self.base_rate[:2].sum(), self.trust)

    def side(self, features: np.ndarray) -> np.ndarray:
        """Side of every row by the primary model: 1 buys, -1 sells."""
        return sides_of(self.primary, own_features(features, self.columns))

    def meta_log_odds(self, features: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Log odds, before shrinkage, that a touch lies on the given side, shape (n_rows,)."""
        return log_odds_of(self.meta, with_side(own_features(features, self.columns), side))

    def to_files(self) -> dict[str, bytes]:
        """Serialise to the files of an artifact: parameters and trees."""
        kept = {
            "kind": self.kind,
            "horizon": self.horizon,
            "classes": list(CLASSES),
            "n_features": self.n_features,
            "base_rate": self.base_rate,
            "trust": self.trust,
            "meta_trust": self.meta_trust,
            "novelty": self.novelty.as_parameters(),
            "hyperparameters": self.hyperparameters,
            "directional": self.directional,
        }
        if isinstance(self.touch, extra.ExtraOdds):
            kept["estimator"] = self.touch.estimator.name
            return {parameters.FILE: parameters.dump(kept), **extra.own_files(self.touch.estimator)}
        trees = {file: boosting.to_bytes(getattr(self, name)) for name, file in _TREES.items()}
        return {parameters.FILE: parameters.dump(kept), **trees}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Rebuild from an artifact.

        Raises
        ------
        ValueError
            If a file is missing or torn, the class order differs, or the version predates the meta-label.
        """
        kept = parameters.load(files, cls.kind)
        if tuple(kept["classes"]) != CLASSES:
            raise ValueError(f"class order is {kept['classes']}, expected {list(CLASSES)}")
        if "meta_trust" not in kept:
            raise ValueError("it was trained before sides were meta-labelled; train a new version")
        touch, primary, meta = _models_of(kept, files)
        return cls(
            int(kept["horizon"]),
            touch,
            primary,
            meta,
            parameters.array(kept["base_rate"], 3),
            float(kept["trust"]),
            float(kept["meta_trust"]),
            Novelty.from_parameters(kept["novelty"]),
            int(kept["n_features"]),
            kept["hyperparameters"],
            bool(kept["directional"]),
        )


def _models_of(kept: dict[str, Any], files: dict[str, bytes]) -> list[LogOdds]:
    """Touch, primary and meta model: trees, or one estimator of another package."""
    if "estimator" in kept:
        estimator = extra.rebuild(kept["estimator"], files)
        return [extra.ExtraOdds(estimator, question) for question in _TREES]
    n_features = int(kept["n_features"])
    # The meta-label also reads the side.
    return [boosting.from_file(files, file, n_features + (name == "meta")) for name, file in _TREES.items()]


def log_odds_of(model: LogOdds, features: np.ndarray) -> np.ndarray:
    """Log odds of every row, before shrinkage, shape (n_rows,)."""
    return model.log_odds(features) if isinstance(model, extra.ExtraOdds) else boosting.margin(model, features)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    """Convert log odds to probabilities.

    Examples
    --------
    >>> sigmoid(np.array([0.0, np.log(3)])).round(6).tolist()
    [0.5, 0.75]
    """
    result: np.ndarray = 1.0 / (1.0 + np.exp(-np.asarray(log_odds, dtype=np.float64)))
    return result


def shrunk_probability(log_odds: np.ndarray, base: float, trust: float) -> np.ndarray:
    """Probabilities from log odds, shrunk towards a base rate.

    Examples
    --------
    >>> odds = np.array([0.0])
    >>> [shrunk_probability(odds, 0.25, trust).round(6).tolist() for trust in (0.0, 1.0)]
    [[0.25], [0.5]]
    """
    base = min(max(float(base), 1e-6), 1 - 1e-6)
    prior = np.log(base / (1 - base))
    return sigmoid(prior + trust * (log_odds - prior))


def sides_of(primary: LogOdds, features: np.ndarray) -> np.ndarray:
    """Side of every row by a primary model: 1 buys, -1 sells."""
    return np.where(log_odds_of(primary, features) > 0, 1, -1).astype(np.int8)


def with_side(features: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Append the side as last column of the features, for the meta-label.

    Examples
    --------
    >>> with_side(np.zeros((2, 1), dtype=np.float32), np.array([1, -1])).tolist()
    [[0.0, 1.0], [0.0, -1.0]]
    """
    return np.column_stack([features, side.astype(np.float32)]).astype(np.float32, copy=False)
