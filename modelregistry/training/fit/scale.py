"""Fit the scale model: ridge regression, then trees on its residuals, tuned on purged blocks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelregistry.dataset.folds import purged_k_fold
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators import boosting
from modelregistry.estimators.extra import ExtraScale
from modelregistry.estimators.scale import CHUNK, LinearScale, ScaleModel, base_prediction, current_level
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.settings import PENALTY, TREES

DIGITS = 12
"""Decimals of stored weights, so that the order of summation in BLAS does not change the artifact."""


@dataclass(frozen=True)
class FittedScale:
    """A scale model fitted on all rows, with out-of-fold log scales of a thinned subset.

    Parameters
    ----------
    model : ScaleModel or ExtraScale
    rows : Dataset
        The thinned subset.
    out_of_fold : ndarray of shape (len(rows), n_horizons)
    chosen : dict
        Selected hyper-parameters.
    """

    model: ScaleModel | ExtraScale
    rows: Dataset
    out_of_fold: np.ndarray
    chosen: dict[str, list[int]]


def fit_linear(
    features: np.ndarray, target: np.ndarray, penalty: float = PENALTY, weights: np.ndarray | None = None
) -> LinearScale:
    """Ridge regression on standardised, clipped features; the intercept is not penalised.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), float32
        NaN counts as the mean of the known values.
    target : ndarray of shape (n_rows, n_targets)
    penalty : float
    weights : ndarray of shape (n_rows,), optional
        Of the rows, 1 on average; ones by default.

    Examples
    --------
    >>> rows = np.random.default_rng(1).normal(size=(500, 2)).astype(np.float32)
    >>> fitted = fit_linear(rows, rows[:, :1] * 2.0 + 1.0, penalty=0.0)
    >>> bool(np.allclose(fitted.predict(rows), rows[:, :1] * 2.0 + 1.0, atol=1e-5))
    True
    """
    centre = features.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(np.mean((features - centre.astype(np.float32)) ** 2, axis=0, dtype=np.float64))
    for column in np.flatnonzero(np.isnan(centre)):  # only features of other packages may be unknown in a row
        known = features[:, column][np.isfinite(features[:, column])].astype(np.float64)
        centre[column], spread[column] = (known.mean(), known.std()) if len(known) else (0.0, 1.0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    unit = LinearScale(centre, spread, np.zeros((1, len(centre))), np.zeros(1))
    weights = np.ones(len(features)) if weights is None else weights
    mean = np.average(target, axis=0, weights=weights)
    gram = np.zeros((len(centre), len(centre)))
    cross = np.zeros((len(centre), target.shape[1]))
    offset = np.zeros(len(centre))
    for start in range(0, len(features), CHUNK):
        z = unit.standardise(features[start : start + CHUNK].astype(np.float64))
        weighted = z * weights[start : start + CHUNK, None]
        gram += weighted.T @ z
        cross += weighted.T @ (target[start : start + CHUNK] - mean)
        offset += weighted.sum(axis=0)
    n = len(features)
    # Clipping moves the means slightly off zero.
    offset /= n
    gram = gram / n - np.outer(offset, offset) + penalty * np.eye(len(centre))
    slopes = np.linalg.solve(gram + 1e-12 * np.eye(len(centre)), cross / n).T
    intercept = mean - slopes @ offset
    return LinearScale(centre, spread, slopes.round(DIGITS), intercept.round(DIGITS))


def fit_scale(rows: Dataset, plan: TrainingPlan, *, tick: Callable[[str], None]) -> FittedScale:
    """Fit on all rows; rounds and residuals come from purged blocks."""
    thinned = rows.take(rows.thinned_positions(plan.thinning))
    held_out = _hold_out(thinned, plan, tick)
    losses = ((held_out - thinned.log_range) ** 2).mean(axis=1)
    best = losses.argmin(axis=0)
    out_of_fold = np.stack([held_out[m, :, k] for k, m in enumerate(best)], axis=1)
    linear, level, residual, matrix = _begin(rows, plan)
    boosters = []
    for k, m in enumerate(best):
        boosters.append(_trees(boosting.relabel(matrix, residual[:, k]), plan.marks[m], plan))
        tick("scale, all rows")
    model = ScaleModel(rows.horizons, linear, level, boosters)
    return FittedScale(model, thinned, out_of_fold, {"rounds": [plan.marks[m] for m in best]})


def _hold_out(rows: Dataset, plan: TrainingPlan, tick: Callable[[str], None]) -> np.ndarray:
    """Out-of-fold log scales of every row, shape (n_marks, n_rows, n_horizons)."""
    marks = plan.marks
    held_out = np.empty((len(marks), len(rows), len(rows.horizons)))
    for fold in purged_k_fold(rows.open_time, rows.ends, plan.cross_blocks, embargo=plan.embargo_ms(rows)):
        train, test = rows.take(fold.train), rows.take(fold.test)
        linear, level, residual, matrix = _begin(train, plan)
        start = base_prediction(linear, level, rows.horizons, test.features, test.sigma)
        for k in range(len(rows.horizons)):
            booster = _trees(boosting.relabel(matrix, residual[:, k]), marks[-1], plan)
            for m, rounds in enumerate(marks):
                held_out[m, fold.test, k] = start[:, k] + boosting.margin(booster[:rounds], test.features)
            tick("scale, held-out blocks")
    return held_out


def _begin(rows: Dataset, plan: TrainingPlan) -> tuple[LinearScale, np.ndarray, np.ndarray, boosting.Matrix]:
    """Ridge regression, level, and what they leave to the trees, as values and as a matrix."""
    target, weights = rows.log_range, plan.recency_weights(rows)
    penalty = plan.settings.configuration.penalty if plan.settings else PENALTY
    level = np.average(target - current_level(rows.horizons, rows.sigma), axis=0, weights=weights).round(DIGITS)
    linear = fit_linear(rows.features, target, penalty, weights=weights)
    residual = target - base_prediction(linear, level, rows.horizons, rows.features, rows.sigma)
    matrix = boosting.binned(rows.features, residual[:, 0], threads=plan.threads, weight=weights)
    return linear, level, residual, matrix


def _trees(matrix: boosting.Matrix, rounds: int, plan: TrainingPlan) -> boosting.Booster:
    rows = matrix.num_row()
    if plan.settings is not None:
        parameters = plan.settings.configuration.trees(rows)
    else:
        parameters = {**TREES, "min_child_weight": min(TREES["min_child_weight"], rows / 200)}
    return boosting.fit(matrix, parameters, rounds, seed=plan.seed, threads=plan.threads)
