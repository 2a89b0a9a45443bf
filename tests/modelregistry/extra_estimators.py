"""Estimators as another package would write them, one per kind."""

import json
from typing import ClassVar

import numpy as np

LEVELS = np.array([0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95])


class Constant:
    """The training mean, quantiles or shares, whatever the features."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def predict(self, features):
        return np.broadcast_to(self.values, (len(features), *self.values.shape)).copy()

    def to_files(self):
        return {"constant.json": json.dumps({"values": self.values.tolist()}).encode()}

    @classmethod
    def from_files(cls, files):
        return cls(json.loads(files["constant.json"])["values"])


class ConstantRange(Constant):
    name: ClassVar[str] = "constant-range"
    kind: ClassVar[str] = "range_predictor"

    @classmethod
    def fit(cls, rows):
        return cls(np.moveaxis(np.quantile(rows.targets, LEVELS, axis=0), 0, -1))


class ConstantScale(Constant):
    name: ClassVar[str] = "constant-scale"
    kind: ClassVar[str] = "tpsl_classifier"

    @classmethod
    def fit(cls, rows):
        return cls(rows.targets.mean(axis=0))


class ConstantShares(Constant):
    name: ClassVar[str] = "constant-shares"
    kind: ClassVar[str] = "signal_classifier"

    @classmethod
    def fit(cls, rows):
        return cls(np.bincount(rows.targets, minlength=3) / len(rows.targets))


class Misshapen(ConstantRange):
    name: ClassVar[str] = "misshapen"

    def predict(self, features):
        return super().predict(features)[:, :, :, :5]


class Incomplete:
    name: ClassVar[str] = "incomplete"
    kind: ClassVar[str] = "range_predictor"
