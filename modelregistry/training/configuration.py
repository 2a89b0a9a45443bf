"""Evaluation of one configuration of the scale model on purged folds, for the search.

The scale model is searched because ranges and brackets both depend on it; its quantiles are unconditional here, unlike
in production. `train_models --settings-from TRIAL` trains a configuration whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelregistry.dataset.folds import Fold
from modelregistry.dataset.rows import Dataset
from modelregistry.errors import TrainingError
from modelregistry.estimators import boosting
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.residuals import ResidualQuantiles
from modelregistry.estimators.scale import ScaleModel, base_prediction, current_level
from modelregistry.evaluation.reports import report as reports
from modelregistry.evaluation.reports.detail import range_detail
from modelregistry.training.fit.plan import recency_weights
from modelregistry.training.fit.scale import DIGITS, fit_linear
from modelregistry.training.fit.settings import Configuration

LATE_SHARE = 0.2
"""Newest share of a training set used for the residual quantiles, purged from the rows of the trees."""


@dataclass(frozen=True)
class ConfigurationScore:
    """Skill of a configuration against the best reference baseline.

    Parameters
    ----------
    score : float
        Over all folds, averaged over markets, horizons and targets.
    fold_scores : list of float
        The same fold by fold, oldest first.
    daily_gain : dict of ISO day to float
    """

    score: float
    fold_scores: list[float]
    daily_gain: dict[str, float]


def fit_configuration(rows: Dataset, configuration: Configuration, *, seed: int, threads: int) -> RangePredictor:
    """Fit the scale on older rows, weighted by age, and unconditional quantiles in its units on purged newer rows.

    Raises
    ------
    TrainingError
        If either part would be empty.
    """
    edge = np.quantile(rows.open_time, 1 - LATE_SHARE)
    early = rows.take(np.flatnonzero(rows.ends < edge))
    late = rows.take(np.flatnonzero(rows.open_time >= edge))
    if not len(early) or not len(late):
        raise TrainingError(f"{len(rows)} rows are too few to fit on and to take residuals on")
    weights = recency_weights(early.open_time)
    linear = fit_linear(early.features, early.log_range, configuration.penalty, weights=weights)
    distance = early.log_range - current_level(rows.horizons, early.sigma)
    level = np.average(distance, axis=0, weights=weights).round(DIGITS)
    residual = early.log_range - base_prediction(linear, level, rows.horizons, early.features, early.sigma)
    matrix = boosting.binned(early.features, residual[:, 0], threads=threads, weight=weights)
    boosters = [
        boosting.fit(
            boosting.relabel(matrix, residual[:, k]),
            configuration.trees(len(early)),
            configuration.rounds,
            seed=seed,
            threads=threads,
        )
        for k in range(len(rows.horizons))
    ]
    scale = ScaleModel(rows.horizons, linear, level, boosters)
    reach = np.exp(scale.log_scale(late.features, late.sigma))
    units = np.stack([np.quantile(side / reach, LEVELS, axis=0).T for side in (late.up, late.down)], axis=1)
    none = np.empty(0)
    residuals = ResidualQuantiles((), none, none, units, np.empty((*units.shape, 0)), np.ones(units.shape))
    never_novel, never_wide = Novelty((), none, none, np.empty((0, 0)), np.inf), np.full(len(rows.horizons), np.inf)
    return RangePredictor(scale, residuals, never_novel, never_wide)


def score_configuration(
    all_rows: Dataset, folds: Sequence[Fold], configuration: Configuration, *, seed: int, threads: int
) -> ConfigurationScore:
    """Score a configuration on purged walk-forward folds, beside baselines fitted on the same rows.

    Parameters
    ----------
    all_rows : Dataset
        All rows with a known outcome; rows without features are scored as the baseline.
    folds : sequence of Fold
        Purged, oldest first.
    """
    whole, fold_scores = reports.Collected(), []
    for fold in folds:
        train = all_rows.take(fold.train[all_rows.has_features[fold.train]])
        test = all_rows.take(fold.test)
        predictor = fit_configuration(train, configuration, seed=seed, threads=threads)
        linear = fit_linear(train.features, train.log_range)
        found = reports.Collected()
        reports.collect_ranges(found, predictor, test, train, linear)
        for key, arrays in found.cells().items():
            whole.add(key, *arrays)
        whole.names = found.names
        fold_scores.append(float(reports.range_report(found, all_rows.stride)["skill"]))
    score = float(reports.range_report(whole, all_rows.stride)["skill"])
    return ConfigurationScore(score, fold_scores, range_detail(whole, all_rows, all_rows.stride)["daily_gain"])
