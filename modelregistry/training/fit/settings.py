"""Settings of the scale model: those in use, and a configuration of the trial ledger that replaces them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

PENALTY = 0.01
"""Ridge penalty in units of a standardised feature's variance."""
TREES: dict[str, Any] = {
    "objective": "reg:squarederror",
    "base_score": 0.0,
    "max_depth": 4,
    "eta": 0.05,
    "subsample": 0.5,
    "colsample_bytree": 0.4,
    "min_child_weight": 200.0,
    "reg_lambda": 50.0,
}


@dataclass(frozen=True)
class Configuration:
    """Hyper-parameters that a search varies.

    Parameters
    ----------
    max_depth, rounds : int
        Of the trees.
    eta, subsample, colsample_bytree, reg_lambda : float
        As in XGBoost.
    child_share : float
        Minimum share of the rows in a leaf.
    penalty : float
        Of the ridge regression, in units of a feature's variance.
    """

    max_depth: int = 4
    rounds: int = 80
    eta: float = 0.05
    subsample: float = 0.5
    colsample_bytree: float = 0.4
    reg_lambda: float = 50.0
    child_share: float = 0.005
    penalty: float = 0.01

    def trees(self, rows: int) -> dict[str, Any]:
        """XGBoost parameters for a number of rows.

        Examples
        --------
        >>> Configuration(max_depth=3).trees(1000)["max_depth"], Configuration().trees(1000)["min_child_weight"]
        (3, 5.0)
        """
        varied = {name: value for name, value in asdict(self).items() if name in TREES}
        return {**TREES, **varied, "min_child_weight": max(self.child_share * rows, 1.0)}

    @classmethod
    def from_trial(cls, values: Mapping[str, Any]) -> Self:
        """The configuration among the stored values of a trial.

        Raises
        ------
        KeyError
            If one of its hyper-parameters is missing.

        Examples
        --------
        >>> Configuration.from_trial({**asdict(Configuration(rounds=60)), "seed": 1}).rounds
        60
        """
        return cls(**{name: values[name] for name in asdict(cls())})


@dataclass(frozen=True)
class TrialSettings:
    """Configuration of a trial, with the id of the trial in the ledger."""

    trial: int
    configuration: Configuration

    def as_hyperparameters(self) -> dict[str, Any]:
        """JSON values for the manifest; the number of rounds is in its `marks`.

        Examples
        --------
        >>> list(TrialSettings(7, Configuration()).as_hyperparameters())[:3]
        ['trial', 'max_depth', 'eta']
        """
        values = asdict(self.configuration)
        return {"trial": self.trial, **{name: value for name, value in values.items() if name != "rounds"}}
