"""What drove a logged forecast: its features, computed again, and their contributions."""

from dataclasses import dataclass

import numpy as np
from django.core.exceptions import ValidationError

from indicators.features import FEATURE_NAMES, WARMUP, build_features
from marketdata import clock
from marketdata.storage import candles as store
from modelregistry import registry
from modelregistry.errors import ModelLoadError
from modelregistry.estimators.contributions import scale_contributions
from modelregistry.estimators.kinds import RANGE
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.models import ModelVersion
from predictions.models import PredictionLog

SHOWN = 8
"""Contributions shown one by one; the others are summed."""


@dataclass(frozen=True)
class Contribution:
    """Effect of one feature on the width of a forecast range."""

    feature: str
    effect: float
    """Relative change of the width: 0.1 widens the range by 10 %."""


@dataclass(frozen=True)
class Explanation:
    """The largest contributions to one forecast, largest first, and the rest together."""

    contributions: list[Contribution]
    others: float
    """Relative change of the width by all other features together."""
    other_count: int


def explain(prediction: PredictionLog) -> Explanation | None:
    """Contributions of the features to a logged forecast's range.

    None where its version is not known, its files are gone, or candles of its window are missing.
    """
    version = _version_of(prediction)
    if version is None or prediction.horizon not in version.horizons:
        return None
    try:
        estimator = registry.load_version(version)
    except ModelLoadError:
        return None
    grid = store.load_grid([prediction.market], clock.to_ms(prediction.candle_time), WARMUP)
    if not isinstance(estimator, RangePredictor) or not grid.present[0, -1]:
        return None
    features = build_features(grid, 1)[0]
    horizon = estimator.horizons.index(prediction.horizon)
    return largest(scale_contributions(estimator.scale, features)[0, horizon, :-1])


def _version_of(prediction: PredictionLog) -> ModelVersion | None:
    try:
        return ModelVersion.objects.filter(pk=prediction.model_versions.get(RANGE)).first()
    except ValidationError:  # a row of a file or a test may name something else than an id
        return None


def largest(additive: np.ndarray) -> Explanation:
    """The largest of additive contributions to the log width, as relative changes.

    Examples
    --------
    >>> found = largest(np.array([0.0, -0.5] + [0.0] * (len(FEATURE_NAMES) - 2)))
    >>> found.contributions[0].feature == FEATURE_NAMES[1], round(found.contributions[0].effect, 3), found.others
    (True, -0.393, 0.0)
    """
    order = np.argsort(-np.abs(additive), kind="stable")
    shown = [Contribution(FEATURE_NAMES[k], float(np.expm1(additive[k]))) for k in order[:SHOWN]]
    return Explanation(shown, float(np.expm1(additive[order[SHOWN:]].sum())), max(0, len(additive) - SHOWN))
