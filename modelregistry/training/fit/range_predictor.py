"""Fit the range predictor: scale, residual quantiles, novelty measure and width limit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.online.correction import DEFAULT_CORRECTION, NO_CORRECTION
from modelregistry.estimators.online.guard import ONE_WEEK_GUARD
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.residuals import COMING, CONDITIONS, fit_residuals
from modelregistry.training.fit.scale import DIGITS, FittedScale

WIDE_SHARE = 0.9995
WIDE_FACTOR = 1.5
"""Width limit: this multiple of the 99.95 % quantile of training widths."""


def fit_range(
    rows: Dataset, scale: FittedScale, plan: TrainingPlan, feature_names: Sequence[str], tick: Callable[[str], None]
) -> RangePredictor:
    """Fit the range predictor from a fitted scale."""
    residuals = fit_residuals(scale.rows, scale.out_of_fold, plan, feature_names, tick)
    up, down = residuals.distances(scale.out_of_fold, scale.rows.features)
    width = np.quantile(up[:, :, -1] + down[:, :, -1], WIDE_SHARE, axis=0) * WIDE_FACTOR
    return RangePredictor(
        scale.model,
        residuals,
        fit_novelty(rows, feature_names),
        width.round(DIGITS),
        {**plan.as_hyperparameters(), **scale.chosen, "conditions": [*CONDITIONS, *COMING]},
        DEFAULT_CORRECTION if plan.corrected else NO_CORRECTION,
    )


KEY_FEATURES = (
    "volatility_level",
    "ewm_6",
    "ewm_192",
    "har_12",
    "har_2016",
    "vol_of_vol_72",
    "largest_12",
    "momentum_12",
    "momentum_72",
    "momentum_288",
    "volume_12",
)
"""Features of the novelty measure: few and different, because with all features every row is unusual in one."""


def fit_novelty(rows: Dataset, feature_names: Sequence[str]) -> Novelty:
    """Fit the novelty measure; the newest fifth of the rows validates its limit.

    In serving a guard over one week suppresses it.
    """
    names = list(feature_names)
    columns = tuple(names.index(name) for name in KEY_FEATURES if name in names)
    cut = int(len(rows) * 0.8)
    return replace(Novelty.fit(rows.features[:cut], rows.features[cut:], columns), guard=ONE_WEEK_GUARD)
