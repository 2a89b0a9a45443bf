"""Kinds of estimators by name; their classes are imported on first use, because their libraries are heavy."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from modelregistry.estimators.inputs import ModelInputs

RANGE, TPSL, SIGNAL = "range_predictor", "tpsl_classifier", "signal_classifier"
KINDS = (RANGE, TPSL, SIGNAL)
_CLASS_NAMES = {RANGE: "RangePredictor", TPSL: "TpslClassifier", SIGNAL: "SignalClassifier"}


class Estimator(Protocol):
    """What the estimators of all kinds have in common."""

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in candles, ascending."""
        ...

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Settings of the fit and values it selected."""
        ...

    def outputs(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Outputs that are compared with the golden rows, by name."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """Serialise to the files of an artifact."""
        ...


def from_files(kind: str, files: dict[str, bytes]) -> Estimator:
    """Rebuild an estimator of `kind` from the files of an artifact."""
    estimator: Estimator = getattr(import_module(f"modelregistry.estimators.{kind}"), _CLASS_NAMES[kind]).from_files(
        files
    )
    return estimator


def reading(estimator: Estimator, columns: Sequence[int], width: int) -> Estimator:
    """The same estimator for rows of `width` features, of which it reads some.

    Parameters
    ----------
    estimator : Estimator
    columns : sequence of int
        Positions of its own features, in its order.
    width : int
        Features of a row.
    """
    if list(columns) == list(range(width)):
        return estimator
    own: Any = estimator
    novelty = replace(own.novelty, columns=tuple(columns[column] for column in own.novelty.columns))
    adapted: Estimator = replace(own, columns=np.array(columns, dtype=np.int64), novelty=novelty)
    return adapted
