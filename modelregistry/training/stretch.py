"""Evaluation of estimators on a period of candles, beside baselines fitted before it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from modelregistry.dataset.rows import build_dataset
from modelregistry.errors import TrainingError
from modelregistry.evaluation.baselines.regressions import SEASON_DAYS, SLOTS
from modelregistry.evaluation.reports import report as reports
from modelregistry.evaluation.reports.detail import detail_of
from modelregistry.evaluation.reports.meta_label import collect_meta_labels, meta_label_report
from modelregistry.training.fit.scale import fit_linear

BASELINE_STRIDE = 6
"""Stride of the rows the baselines are fitted on; they have few parameters."""


def evaluate_on(
    grid: CandleGrid,
    symbols: tuple[str, ...],
    estimators: Mapping[str, Any],
    *,
    from_ms: int,
    fitted_until_ms: int,
    costs: float,
    stride: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Score estimators by kind on the rows of `grid` from `from_ms` on.

    Parameters
    ----------
    grid : CandleGrid
        The period and all earlier candles that may be used.
    estimators : mapping of kind to estimator
    from_ms, fitted_until_ms : int
        First scored row; the baselines are fitted on outcomes complete before `fitted_until_ms`.
    costs : float
        Of a round trip.
    stride : int
        Candles between scored rows.

    Raises
    ------
    TrainingError
        If there is nothing to score, or nothing to fit the baselines on.
    """
    report_progress = progress or _ignore
    total = len(estimators) + 2
    horizons = tuple(sorted({h for estimator in estimators.values() for h in estimator.horizons}))
    # The seasonal profile of the baselines needs more history than the features.
    start = int(np.searchsorted(grid.open_time, from_ms)) - WARMUP - SEASON_DAYS * SLOTS
    test = build_dataset(grid.span(max(start, 0), len(grid)), symbols, horizons, stride, first=from_ms)
    if not len(test):
        raise TrainingError("the period has no candle with features and a known outcome")
    report_progress(1, total, "features of the period")
    result: dict[str, Any] = {"rows": len(test), "answered": 100 * float(test.has_features.mean())}
    if "range_predictor" in estimators:
        before = grid.span(0, int(np.searchsorted(grid.open_time, fitted_until_ms)))
        if len(before) < WARMUP + max(horizons) + 288:
            raise TrainingError(
                "the baselines are fitted on candles up to the end of the version's training, and too few are stored: "
                f"{len(before):,} of {WARMUP + max(horizons) + 288:,}; backfill or import older ones"
            )
        train = build_dataset(before, symbols, horizons, BASELINE_STRIDE)
        train = train.take(np.flatnonzero(train.has_features))
        report_progress(2, total, "baselines")
        found = reports.Collected()
        linear = fit_linear(train.features, train.log_range)
        reports.collect_ranges(found, estimators["range_predictor"], test, train, linear)
        result["range_predictor"] = reports.range_report(found, stride)
        result["range_predictor"]["detail"] = detail_of("range_predictor", found, test, stride=stride, costs=costs)
        report_progress(3, total, "ranges")
    if "tpsl_classifier" in estimators:
        found = reports.Collected()
        reports.collect_brackets(found, estimators["tpsl_classifier"], test)
        result["tpsl_classifier"] = reports.bracket_report(found, costs, stride)
        result["tpsl_classifier"]["detail"] = detail_of("tpsl_classifier", found, test, stride=stride, costs=costs)
        report_progress(total - 1, total, "brackets")
    if "signal_classifier" in estimators:
        found = reports.Collected()
        reports.collect_directions(found, estimators["signal_classifier"], test, costs)
        meta = reports.Collected()
        collect_meta_labels(meta, estimators["signal_classifier"], test, costs)
        result["signal_classifier"] = reports.direction_report(found, stride)
        result["signal_classifier"]["meta_label"] = meta_label_report(meta, stride)
        result["signal_classifier"]["detail"] = detail_of("signal_classifier", found, test, stride=stride, costs=costs)
    report_progress(total, total, "done")
    return result


def _ignore(*_: object) -> None:
    """Default progress callback: does nothing."""
