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
from modelregistry.training.outcomes import BARRIER, direction_spans
from modelregistry.training.plan import TrainingPlan
from modelregistry.training.uniqueness import average_uniqueness

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
UNIQUENESS = (
    "mean_uniqueness",
    "independent_labels",
    "lower_bound_of_gain",
    "lower_bound_of_gain_with_uniqueness_weights",
)
"""What the report says of overlapping labels: the gain in log loss without and with weights."""
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
    loss on the latest stretch is surely above zero. Weights of average uniqueness are tried beside none and reported;
    they are not used. Whether the side is worth knowing is for the folds to say, see
    :mod:`modelregistry.training.direction_rule`.
    """
    labels, candles = direction_spans(rows, horizon, costs)
    edges = np.quantile(rows.open_time, [0.6, 0.8])
    train = np.flatnonzero((rows.ends < edges[0]) & (labels != Direction.UNKNOWN))
    watch = np.flatnonzero((rows.open_time >= edges[0]) & (rows.ends < edges[1]) & (labels != Direction.UNKNOWN))
    judge = np.flatnonzero((rows.open_time >= edges[1]) & (labels != Direction.UNKNOWN))
    matrix = boosting.quantised(rows.features[train], labels[train].astype(float), threads=plan.threads)
    later = boosting.plain(rows.features[watch], labels[watch].astype(float), threads=plan.threads)
    how: dict[str, Any] = {"seed": plan.seed, "threads": plan.threads, "watch": later, "patience": PATIENCE}
    booster = boosting.fit(matrix, TREES, ROUNDS, **how)
    weights = own_shares(rows.take(train), candles[train])
    weighted = boosting.fit(boosting.reweigh(matrix, weights / weights.mean()), TREES, ROUNDS, **how)
    tick("direction")
    base_rate = np.bincount(labels[np.concatenate([train, watch])], minlength=3) + 1.0
    base_rate = (base_rate / base_rate.sum()).round(DIGITS)
    (trust, gain), (_, gain_weighted) = (
        choose_trust(
            boosting.margin(one, rows.features[judge]),
            base_rate,
            labels[judge],
            rows.open_time[judge],
            horizon,
            rows.stride,
        )
        for one in (booster, weighted)
    )
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
            "lower_bound_of_gain_with_uniqueness_weights": gain_weighted,
            "mean_uniqueness": round(float(weights.mean()), DIGITS),
            "independent_labels": round(float(weights.sum()), 3),
        },
    )


def own_shares(rows: Dataset, candles: np.ndarray) -> np.ndarray:
    """Average uniqueness of every row's label within its market, shape (n_rows,)."""
    shares = np.empty(len(rows))
    for code in np.unique(rows.market):
        mine = rows.market == code
        shares[mine] = average_uniqueness(rows.position[mine], np.maximum(candles[mine], 1))
    return shares


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
