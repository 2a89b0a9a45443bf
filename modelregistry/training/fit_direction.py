"""Fit the signal classifier, and believe it only as far as purged later rows do."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from indicators.labels import Direction
from modelregistry.estimators import boosting
from modelregistry.estimators.signal_classifier import SignalClassifier, blend
from modelregistry.evaluation.paired import compare
from modelregistry.training.dataset import Dataset
from modelregistry.training.fit_range import fit_novelty
from modelregistry.training.fit_scale import DIGITS
from modelregistry.training.outcomes import BARRIER, direction_labels
from modelregistry.training.plan import TrainingPlan

TREES: dict[str, Any] = {
    "objective": "multi:softprob",
    "num_class": 3,
    "max_depth": 3,
    "eta": 0.05,
    "subsample": 0.5,
    "colsample_bytree": 0.3,
    "min_child_weight": 100.0,
    "reg_lambda": 50.0,
}
ROUNDS = 60
PATIENCE = 10
TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def fit_direction(
    rows: Dataset,
    plan: TrainingPlan,
    feature_names: Sequence[str],
    tick: Callable[[str], None],
    *,
    horizon: int,
    costs: float,
) -> SignalClassifier:
    """Fit on the older rows, stop early on later ones, and weigh against the base rate on the latest.

    The three stretches are purged from one another. Trust stays at 0, the base rate alone, unless the gain in log
    loss on the latest stretch is surely above zero.
    """
    labels = direction_labels(rows, horizon, costs)
    edges = np.quantile(rows.open_time, [0.6, 0.8])
    train = np.flatnonzero((rows.ends < edges[0]) & (labels != Direction.UNKNOWN))
    watch = np.flatnonzero((rows.open_time >= edges[0]) & (rows.ends < edges[1]) & (labels != Direction.UNKNOWN))
    judge = np.flatnonzero((rows.open_time >= edges[1]) & (labels != Direction.UNKNOWN))
    matrix = boosting.quantised(rows.features[train], labels[train].astype(float), threads=plan.threads)
    later = boosting.plain(rows.features[watch], labels[watch].astype(float), threads=plan.threads)
    booster = boosting.fit(matrix, TREES, ROUNDS, seed=plan.seed, threads=plan.threads, watch=later, patience=PATIENCE)
    tick("direction")
    base_rate = np.bincount(labels[np.concatenate([train, watch])], minlength=3) + 1.0
    base_rate = (base_rate / base_rate.sum()).round(DIGITS)
    margins = boosting.margin(booster, rows.features[judge])
    trust, gain = choose_trust(margins, base_rate, labels[judge], rows.open_time[judge], horizon, rows.stride)
    tick("direction, trust")
    return SignalClassifier(
        horizon,
        booster,
        base_rate,
        trust,
        np.zeros(3),
        fit_novelty(rows, feature_names),
        rows.features.shape[1],
        {
            **plan.as_hyperparameters(),
            "rounds": boosting.rounds_of(booster),
            "barrier": BARRIER,
            "costs": costs,
            "lower_bound_of_gain": gain,
        },
    )


def choose_trust(
    margins: np.ndarray, base_rate: np.ndarray, labels: np.ndarray, open_time: np.ndarray, horizon: int, stride: int
) -> tuple[float, float]:
    """Return the trust of the least log loss, 0 unless its gain over the base rate has a lower bound above 0."""

    def losses(trust: float) -> np.ndarray:
        chances = blend(margins, base_rate, trust, np.zeros(3))
        return -np.log(chances[np.arange(len(labels)), labels])

    constant = losses(0.0)
    best = min(TRUSTS, key=lambda trust: losses(trust).mean())
    found = compare(losses(best), constant, open_time, horizon, stride)
    return (best if found.lower > 0 else 0.0), round(found.lower, DIGITS)
