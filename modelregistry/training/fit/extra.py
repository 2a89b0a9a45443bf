"""Fit estimators of other packages, and what the engine adds to each kind."""

from collections.abc import Callable
from typing import Any

import numpy as np

from indicators.labels import Direction
from modelregistry.dataset.folds import purged_k_fold
from modelregistry.dataset.label_overlap import row_uniqueness
from modelregistry.dataset.outcomes import BARRIER, direction_spans
from modelregistry.dataset.rows import Dataset
from modelregistry.errors import TrainingError
from modelregistry.estimators.extra import (
    EstimatorClass,
    ExtraEstimator,
    ExtraOdds,
    ExtraQuantiles,
    ExtraScale,
    FitRows,
    checked,
)
from modelregistry.estimators.kinds import RANGE, TPSL, Estimator
from modelregistry.estimators.online.correction import DEFAULT_CORRECTION, NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.scale import current_level
from modelregistry.estimators.signal_classifier import SignalClassifier, log_odds_of
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.range_predictor import WIDE_FACTOR, WIDE_SHARE, fit_novelty
from modelregistry.training.fit.scale import DIGITS, FittedScale
from modelregistry.training.fit.signal_classifier import rates_of
from modelregistry.training.fit.tpsl_classifier import fit_brackets

Tick = Callable[[str], None]


def fit_extra(one: EstimatorClass, rows: Dataset, plan: TrainingPlan, tick: Tick, costs: float) -> Estimator:
    """Fit an estimator of another package as a version of its kind.

    Raises
    ------
    TrainingError
        If its forecasts have another shape than its kind, or are not finite.
    """
    try:
        if one.kind == RANGE:
            return _fit_range(one, rows, plan, tick)
        if one.kind == TPSL:
            return _fit_brackets(one, rows, plan, tick)
        return _fit_direction(one, rows, plan, tick, costs)
    except ValueError as error:
        raise TrainingError(f"estimator {one.name} cannot be trained: {error}") from error


def _fit(one: EstimatorClass, rows: Dataset, targets: np.ndarray, horizons: tuple[int, ...], plan: TrainingPlan) -> Any:
    return one.fit(
        FitRows(
            rows.features,
            rows.feature_names,
            targets,
            horizons,
            rows.open_time,
            rows.market,
            rows.symbols,
            plan.seed,
            plan.threads,
        )
    )


def _described(one: EstimatorClass, plan: TrainingPlan) -> dict[str, Any]:
    return {**plan.as_hyperparameters(), "estimator": one.name}


def _fit_range(one: EstimatorClass, rows: Dataset, plan: TrainingPlan, tick: Tick) -> RangePredictor:
    unit = np.exp(current_level(rows.horizons, rows.sigma))
    targets = np.stack([rows.up, rows.down], axis=2) / unit[:, :, None]
    quantiles = ExtraQuantiles(rows.horizons, _fit(one, rows, targets, rows.horizons, plan))
    tick(f"{one.name}, all rows")
    up, down = quantiles.distances(np.log(unit), rows.features)
    width = np.quantile(up[:, :, -1] + down[:, :, -1], WIDE_SHARE, axis=0) * WIDE_FACTOR
    return RangePredictor(
        ExtraScale(rows.horizons, rows.features.shape[1]),
        quantiles,
        fit_novelty(rows, rows.feature_names),
        width.round(DIGITS),
        _described(one, plan),
        DEFAULT_CORRECTION if plan.corrected else NO_CORRECTION,
    )


def _fit_brackets(one: EstimatorClass, rows: Dataset, plan: TrainingPlan, tick: Tick) -> TpslClassifier:
    """Calibrate brackets on scales out of fold, as those of our own scale model."""

    def fitted(part: Dataset) -> ExtraScale:
        targets = part.log_range - current_level(part.horizons, part.sigma)
        estimator: ExtraEstimator = _fit(one, part, targets, part.horizons, plan)
        return ExtraScale(part.horizons, part.features.shape[1], estimator)

    thinned = rows.take(rows.thinned_positions(plan.thinning))
    out_of_fold = np.empty((len(thinned), len(rows.horizons)))
    for fold in purged_k_fold(thinned.open_time, thinned.ends, plan.cross_blocks, embargo=plan.embargo_ms(rows)):
        test = thinned.take(fold.test)
        out_of_fold[fold.test] = fitted(thinned.take(fold.train)).log_scale(test.features, test.sigma)
        tick(f"{one.name}, held-out blocks")
    scale = FittedScale(fitted(rows), thinned, out_of_fold, {})
    tick(f"{one.name}, all rows")
    classifier = fit_brackets(rows, scale, plan, rows.feature_names, tick)
    classifier.hyperparameters["estimator"] = one.name
    return classifier


def _fit_direction(
    one: EstimatorClass, rows: Dataset, plan: TrainingPlan, tick: Tick, costs: float
) -> SignalClassifier:
    """Probabilities as they are, without shrinkage: the folds and the gate judge them."""
    horizon = max(rows.horizons)
    labels, candles = direction_spans(rows, horizon, costs)
    known = np.flatnonzero(labels != Direction.UNKNOWN)
    rows, labels, candles = rows.take(known), labels[known], candles[known]
    right, touched = np.zeros(len(rows), dtype=bool), labels != Direction.HOLD
    for fold in purged_k_fold(rows.open_time, rows.ends, plan.cross_blocks, embargo=plan.embargo_ms(rows)):
        fitted = _fit(one, rows.take(fold.train), labels[fold.train], (horizon,), plan)
        odds = log_odds_of(ExtraOdds(fitted, "primary"), rows.features[fold.test])
        right[fold.test] = labels[fold.test] == np.where(odds > 0, Direction.BUY, Direction.SELL)
        tick(f"{one.name}, held-out blocks")
    estimator = _fit(one, rows, labels, (horizon,), plan)
    checked(estimator, rows.features[:1], 3)
    tick(f"{one.name}, all rows")
    weights = row_uniqueness(rows, candles)
    return SignalClassifier(
        horizon,
        ExtraOdds(estimator, "touch"),
        ExtraOdds(estimator, "primary"),
        ExtraOdds(estimator, "meta"),
        rates_of(labels),
        1.0,
        1.0,
        fit_novelty(rows, rows.feature_names),
        rows.features.shape[1],
        {
            **_described(one, plan),
            "barrier": BARRIER,
            "costs": costs,
            "out_of_fold_accuracy": round(float(right[touched].mean()), DIGITS) if touched.any() else 0.5,
            "mean_uniqueness": round(float(weights.mean()), DIGITS),
            "independent_labels": round(float(weights.sum()), 3),
            # Not measured: there is no shrinkage whose gain could be compared.
            "lower_bound_of_gain": None,
            "lower_bound_of_gain_with_uniqueness_weights": None,
        },
    )
