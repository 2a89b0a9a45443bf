"""Fit the signal classifier as a meta-label, shrunk as purged later rows require."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from indicators.labels import Direction
from modelregistry.dataset.label_overlap import row_uniqueness
from modelregistry.dataset.outcomes import BARRIER, direction_spans
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators import boosting
from modelregistry.estimators.signal_classifier import (
    SignalClassifier,
    shrunk_probability,
    sides_of,
    sigmoid,
    with_side,
)
from modelregistry.evaluation.significance.paired import compare
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.range_predictor import fit_novelty
from modelregistry.training.fit.scale import DIGITS
from modelregistry.training.fit.sides import ROUNDS as PRIMARY_ROUNDS
from modelregistry.training.fit.sides import TREES, fit_primary, out_of_fold_sides, rows_or_even_odds

TOUCH_ROUNDS, TOUCH_PATIENCE = 300, 20
"""Limits of the touch model, whose best round lies between 80 and 270."""
META_ROUNDS, META_PATIENCE = 60, 10
UNIQUENESS = (
    "mean_uniqueness",
    "independent_labels",
    "lower_bound_of_gain",
    "lower_bound_of_gain_with_uniqueness_weights",
)
"""Hyper-parameters about label overlap in the report: gain in log loss without and with uniqueness weights."""
TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class _Period:
    """Rows of one period with known labels, and a side for each."""

    rows: Dataset
    labels: np.ndarray
    side: np.ndarray

    @property
    def touched(self) -> np.ndarray:
        """Whether acting on either side paid."""
        return self.labels != Direction.HOLD

    @property
    def right(self) -> np.ndarray:
        """Whether acting on the row's side paid."""
        return self.labels == np.where(self.side > 0, Direction.BUY, Direction.SELL)

    def meta(self) -> tuple[np.ndarray, np.ndarray]:
        """Features with side, and correctness of the side, of rows with a touch."""
        touched = self.touched
        return rows_or_even_odds(
            with_side(self.rows.features[touched], self.side[touched]), self.right[touched].astype(float)
        )  # fmt: skip


def fit_direction(
    rows: Dataset,
    plan: TrainingPlan,
    feature_names: Sequence[str],
    tick: Callable[[str], None],
    *,
    horizon: int,
    costs: float,
) -> SignalClassifier:
    """Fit the signal classifier on three purged periods: fit, early stopping, shrinkage.

    The oldest rows get their side out of fold, later ones from the primary model that is kept. Either trust stays at 0
    (the base rate of a touch, half of it for each side) unless the gain in log loss on the latest period is
    significantly above zero; a touch model with trust is refitted on all rows. A fit with weights of average uniqueness
    is reported but not used. Whether the side is used is decided by :mod:`modelregistry.training.direction_rule`.
    """
    labels, candles = direction_spans(rows, horizon, costs)
    known, edges = labels != Direction.UNKNOWN, np.quantile(rows.open_time, [0.6, 0.8])
    picks = (
        np.flatnonzero((rows.ends < edges[0]) & known),
        np.flatnonzero((rows.open_time >= edges[0]) & (rows.ends < edges[1]) & known),
        np.flatnonzero((rows.open_time >= edges[1]) & known),
    )
    older = rows.take(picks[0])
    primary = fit_primary(older.features, labels[picks[0]], plan)
    train = _Period(older, labels[picks[0]], out_of_fold_sides(older, labels[picks[0]], plan))
    watch, latest = (
        _Period(part, labels[pick], sides_of(primary, part.features))
        for pick, part in ((pick, rows.take(pick)) for pick in picks[1:])
    )
    tick("direction, sides")
    touch = _fit(
        (older.features, train.touched.astype(float)),
        (watch.rows.features, watch.touched.astype(float)),
        plan,
        TOUCH_ROUNDS,
        TOUCH_PATIENCE,
    )
    base_rates = rates_of(labels[np.concatenate(picks[:2])])
    trust, touch_gain = _trust_of_touch(touch, float(base_rates[:2].sum()), latest, horizon)
    if trust:
        all_rows = rows.features[known], (labels[known] != Direction.HOLD).astype(float)
        touch = boosting.fit(
            boosting.binned(*all_rows, threads=plan.threads),
            TREES,
            boosting.rounds_of(touch),
            seed=plan.seed,
            threads=plan.threads,
        )
    tick("direction, touch")
    weights = row_uniqueness(older, candles[picks[0]])
    plain, weighted = (
        _fit(train.meta(), watch.meta(), plan, META_ROUNDS, META_PATIENCE, weight)
        for weight in (None, weights[train.touched] if train.touched.any() else None)
    )
    (meta_trust, gain), (_, gain_weighted) = (_trust_of_meta(one, latest, horizon) for one in (plain, weighted))
    tick("direction, meta-label")
    return SignalClassifier(
        horizon,
        touch,
        primary,
        plain,
        rates_of(labels[known]),
        trust,
        meta_trust,
        fit_novelty(rows, feature_names),
        rows.features.shape[1],
        {
            **plan.as_hyperparameters(),
            "rounds": boosting.rounds_of(plain),
            "touch_rounds": boosting.rounds_of(touch),
            "primary_rounds": PRIMARY_ROUNDS,
            "barrier": BARRIER,
            "costs": costs,
            "out_of_fold_accuracy": _accuracy(train),
            "lower_bound_of_touch_gain": touch_gain,
            "lower_bound_of_gain": gain,
            "lower_bound_of_gain_with_uniqueness_weights": gain_weighted,
            "mean_uniqueness": round(float(weights.mean()), DIGITS),
            "independent_labels": round(float(weights.sum()), 3),
        },
    )


def _fit(
    rows: tuple[np.ndarray, np.ndarray],
    later: tuple[np.ndarray, np.ndarray],
    plan: TrainingPlan,
    rounds: int,
    patience: int,
    weights: np.ndarray | None = None,
) -> boosting.Booster:
    """Fit a probability with early stopping on later rows."""
    weight = None if weights is None else weights / weights.mean()
    return boosting.fit(
        boosting.binned(*rows, threads=plan.threads, weight=weight),
        TREES,
        rounds,
        seed=plan.seed,
        threads=plan.threads,
        watch=boosting.unbinned(*later, threads=plan.threads),
        patience=patience,
    )


def rates_of(labels: np.ndarray) -> np.ndarray:
    """Shares of buy, sell and hold, shape (3,), with add-one smoothing.

    Examples
    --------
    >>> rates_of(np.array([Direction.BUY, Direction.HOLD, Direction.HOLD])).round(2).tolist()
    [0.33, 0.17, 0.5]
    """
    counts = np.bincount(labels, minlength=3) + 1.0
    return (counts / counts.sum()).round(DIGITS)


def _trust_of_touch(touch: boosting.Booster, base: float, latest: _Period, horizon: int) -> tuple[float, float]:
    log_odds = boosting.margin(touch, latest.rows.features)
    return choose_trust(
        lambda trust: _lost(shrunk_probability(log_odds, base, trust), latest.touched), latest.rows, horizon
    )


def _trust_of_meta(meta: boosting.Booster, latest: _Period, horizon: int) -> tuple[float, float]:
    touched = np.flatnonzero(latest.touched)
    if not len(touched):
        return 0.0, 0.0
    log_odds = boosting.margin(meta, with_side(latest.rows.features[touched], latest.side[touched]))
    right = latest.right[touched]
    return choose_trust(lambda trust: _lost(sigmoid(trust * log_odds), right), latest.rows.take(touched), horizon)


def _lost(probabilities: np.ndarray, happened: np.ndarray) -> np.ndarray:
    return -np.log(np.where(happened, probabilities, 1.0 - probabilities))


def _accuracy(period: _Period) -> float:
    """Share of touches on the predicted side, one half without touches."""
    touched = period.touched
    return round(float(period.right[touched].mean()), DIGITS) if touched.any() else 0.5


def choose_trust(losses: Callable[[float], np.ndarray], rows: Dataset, horizon: int) -> tuple[float, float]:
    """Trust with the smallest loss, or 0 if its gain is not significant.

    Returns the trust and the lower bound of its gain over a trust of 0.
    """
    constant = losses(0.0)
    best = min(TRUSTS, key=lambda trust: losses(trust).mean())
    found = compare(losses(best), constant, rows.open_time, horizon, rows.stride)
    return (best if found.lower > 0 else 0.0), round(found.lower, DIGITS)
