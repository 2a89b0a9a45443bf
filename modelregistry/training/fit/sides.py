"""Primary model of the meta-label: out-of-fold sides of training rows."""

from typing import Any

import numpy as np

from indicators.labels import Direction
from modelregistry.dataset.folds import purged_k_fold
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators import boosting
from modelregistry.estimators.signal_classifier import sides_of
from modelregistry.training.fit.plan import TrainingPlan

TREES: dict[str, Any] = {
    "objective": "binary:logistic",
    "max_depth": 3,
    "eta": 0.05,
    "subsample": 0.5,
    "colsample_bytree": 0.3,
    "min_child_weight": 25.0,
    "reg_lambda": 50.0,
}
ROUNDS = 40
"""Fixed, because early stopping on the held-out block would leak its labels."""


def fit_primary(features: np.ndarray, labels: np.ndarray, plan: TrainingPlan) -> boosting.Booster:
    """Fit buy against sell on the rows where one of them paid.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), float32
    labels : ndarray of shape (n_rows,)
        Of :class:`~indicators.labels.Direction`; rows without a side are left out.
    """
    sided = (labels == Direction.BUY) | (labels == Direction.SELL)
    target = (labels[sided] == Direction.BUY).astype(float)
    matrix = boosting.binned(*rows_or_even_odds(features[sided], target), threads=plan.threads)
    return boosting.fit(matrix, TREES, ROUNDS, seed=plan.seed, threads=plan.threads)


def out_of_fold_sides(rows: Dataset, labels: np.ndarray, plan: TrainingPlan) -> np.ndarray:
    """Out-of-fold sides of training rows.

    Blocks are contiguous and held out once each, purged on both sides with an embargo of the longest horizon: no side
    comes from a model that was fitted on the row's outcome or on an overlapping one.

    Returns
    -------
    int8 ndarray of shape (n_rows,)
        1 buys, -1 sells.
    """
    sides = np.zeros(len(rows), dtype=np.int8)
    thin = np.zeros(len(rows), dtype=bool)
    thin[rows.thinned_positions(plan.thinning)] = True
    for block in purged_k_fold(rows.open_time, rows.ends, plan.cross_blocks, embargo=plan.embargo_ms(rows)):
        seen = block.train[thin[block.train]]
        primary = fit_primary(rows.features[seen], labels[seen], plan)
        sides[block.test] = sides_of(primary, rows.features[block.test])
    return sides


def rows_or_even_odds(features: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, or a single row with probability one half if there are none.

    Examples
    --------
    >>> rows_or_even_odds(np.zeros((0, 2), dtype=np.float32), np.zeros(0))[1].tolist()
    [0.5]
    """
    if len(features):
        return features, target
    return np.zeros((1, features.shape[1]), dtype=np.float32), np.array([0.5])
