"""Kinds of estimators by name; their classes are imported on first use, because their libraries are heavy."""

from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np

from modelregistry.estimators.inputs import ModelInputs

RANGE, TPSL, SIGNAL = "range_predictor", "tpsl_classifier", "signal_classifier"
KINDS = (RANGE, TPSL, SIGNAL)
_CLASS_NAMES = {RANGE: "RangePredictor", TPSL: "TpslClassifier", SIGNAL: "SignalClassifier"}


class Estimator(Protocol):
    """What the estimators of all kinds have in common."""

    kind: ClassVar[str]

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons in candles, ascending."""
        ...

    def outputs(self, inputs: ModelInputs) -> dict[str, np.ndarray]:
        """Outputs that are compared with the golden rows, by name."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """Serialise to the files of an artifact."""
        ...


def class_of(kind: str) -> Any:
    """Class of the estimators of `kind`."""
    return getattr(import_module(f"modelregistry.estimators.{kind}"), _CLASS_NAMES[kind])
