"""Buy, sell or hold at the decision horizon: calibrated, and humble."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from modelregistry.estimators import boosting, parameters
from modelregistry.estimators.novelty import Novelty

CLASSES: tuple[str, ...] = ("buy", "sell", "hold")
"""Class order of every answer, kept in the artifact too."""
_TREES = "direction.ubj"


@dataclass(frozen=True)
class SignalClassifier:
    """P(buy), P(sell), P(hold) from trees, drawn towards the base rate as far as later rows demand.

    Parameters
    ----------
    horizon : int
        Decision horizon in candles.
    booster : Booster
        Three margins per row, in the order of :data:`CLASSES`.
    base_rate : ndarray of shape (3,)
        Class shares of the training rows.
    trust : float
        Share of the trees' deviation from the base rate (in log odds) that later rows support, 0 to 1.
    offset : ndarray of shape (3,)
        Correction of the log odds on later rows.
    directional : bool
        Whether the folds proved that the side is worth knowing; else either side gets half the chance of a touch.
    """

    kind: ClassVar[str] = "signal_classifier"

    horizon: int
    booster: boosting.Booster
    base_rate: np.ndarray
    trust: float
    offset: np.ndarray
    novelty: Novelty
    n_features: int
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    directional: bool = True

    @property
    def horizons(self) -> tuple[int, ...]:
        """The decision horizon alone."""
        return (self.horizon,)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities in the order of :data:`CLASSES`, shape (n_rows, 3); each row sums to 1."""
        chances = blend(boosting.margin(self.booster, features), self.base_rate, self.trust, self.offset)
        if not self.directional:
            chances[:, :2] = (0.5 * (chances[:, 0] + chances[:, 1]))[:, None]
        return chances

    def to_files(self) -> dict[str, bytes]:
        """Files of the artifact: parameters and trees."""
        kept = {
            "kind": self.kind,
            "horizon": self.horizon,
            "classes": list(CLASSES),
            "n_features": self.n_features,
            "base_rate": self.base_rate,
            "trust": self.trust,
            "offset": self.offset,
            "novelty": self.novelty.as_parameters(),
            "hyperparameters": self.hyperparameters,
            "directional": self.directional,
        }
        return {parameters.FILE: parameters.dump(kept), _TREES: boosting.to_bytes(self.booster)}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Rebuild from an artifact.

        Raises
        ------
        ValueError
            If a file is missing, torn, or the class order differs.
        """
        kept = parameters.load(files, cls.kind)
        if tuple(kept["classes"]) != CLASSES:
            raise ValueError(f"class order is {kept['classes']}, expected {list(CLASSES)}")
        if _TREES not in files:
            raise ValueError(f"{_TREES} is missing")
        return cls(
            int(kept["horizon"]),
            boosting.from_bytes(files[_TREES]),
            parameters.array(kept["base_rate"], 3),
            float(kept["trust"]),
            parameters.array(kept["offset"], 3),
            Novelty.from_parameters(kept["novelty"]),
            int(kept["n_features"]),
            kept["hyperparameters"],
            bool(kept.get("directional", True)),
        )


def blend(margins: np.ndarray, base_rate: np.ndarray, trust: float, offset: np.ndarray) -> np.ndarray:
    """Class probabilities from margins, shrunk towards the base rate.

    Examples
    --------
    >>> base = np.array([0.2, 0.2, 0.6])
    >>> blend(np.array([[5.0, 0.0, 0.0]]), base, 0.0, np.zeros(3)).round(3).tolist()
    [[0.2, 0.2, 0.6]]
    """
    centred = margins - (margins * (1 / 3)).sum(axis=1, keepdims=True)
    prior = np.log(np.maximum(base_rate, 1e-6))
    log_odds = prior + offset + trust * (centred - (prior - prior.mean()))
    powers = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
