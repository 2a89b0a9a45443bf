"""Evaluation of estimators on a period of candles, beside baselines or beside each other."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from indicators.candles import DAY_CANDLES, CandleGrid
from indicators.features import WARMUP
from modelregistry.dataset.rows import Dataset, build_dataset
from modelregistry.errors import TrainingError
from modelregistry.estimators.kinds import KINDS, RANGE, Estimator
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.evaluation.baselines.regressions import SEASON_DAYS, SLOTS
from modelregistry.evaluation.reports.meta_label import collect_meta_labels, meta_label_report
from modelregistry.evaluation.reports.report import Collected
from modelregistry.evaluation.reports.version_comparison import comparison_report, paired_losses
from modelregistry.training.kinds import TRAINING_KINDS

BASELINE_STRIDE = 6
"""Stride of the rows the baselines are fitted on; they have few parameters."""


def evaluate_on(
    grid: CandleGrid,
    symbols: tuple[str, ...],
    estimators: Mapping[str, Estimator],
    *,
    from_ms: int,
    fitted_until_ms: int,
    costs: float,
    stride: int = 1,
    progress: Callable[[int, int, str], None] = lambda *_: None,
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
    total = len(estimators) + 2
    horizons = tuple(sorted({h for estimator in estimators.values() for h in estimator.horizons}))
    test = scored_rows(grid, symbols, horizons, from_ms=from_ms, stride=stride)
    progress(1, total, "features of the period")
    result: dict[str, Any] = {"rows": len(test), "answered": 100 * float(test.has_features.mean())}
    train = test
    if RANGE in estimators:
        before = grid.span(0, int(np.searchsorted(grid.open_time, fitted_until_ms)))
        if len(before) < WARMUP + max(horizons) + DAY_CANDLES:
            raise TrainingError(
                "the baselines are fitted on candles up to the end of the version's training, and too few are stored: "
                f"{len(before):,} of {WARMUP + max(horizons) + DAY_CANDLES:,}; backfill or import older ones"
            )
        train = build_dataset(before, symbols, horizons, BASELINE_STRIDE)
        train = train.take(np.flatnonzero(train.has_features))
        progress(2, total, "baselines")
    for number, (kind, estimator) in enumerate(sorted(estimators.items(), key=lambda one: KINDS.index(one[0])), 3):
        found = Collected()
        TRAINING_KINDS[kind].collect(found, estimator, test, train, costs)
        result[kind] = TRAINING_KINDS[kind].full_report(found, test, stride, costs)
        if isinstance(estimator, SignalClassifier):
            meta = Collected()
            collect_meta_labels(meta, estimator, test, costs)
            result[kind]["meta_label"] = meta_label_report(meta, stride)
        progress(min(number, total), total, kind)
    progress(total, total, "done")
    return result


def compare_on(
    grid: CandleGrid,
    symbols: tuple[str, ...],
    kind: str,
    pair: tuple[Estimator, Estimator],
    *,
    from_ms: int,
    costs: float,
    stride: int = 1,
) -> dict[str, Any]:
    """Compare two estimators of one kind, row by row, on the rows of `grid` from `from_ms` on.

    Raises
    ------
    TrainingError
        If no row is answered by both.
    """
    horizons = tuple(sorted({horizon for estimator in pair for horizon in estimator.horizons}))
    rows = scored_rows(grid, symbols, horizons, from_ms=from_ms, stride=stride)
    rows = rows.take(np.flatnonzero(rows.has_features))
    shared = sorted(set(pair[0].horizons) & set(pair[1].horizons))
    cells = {}
    if len(rows):
        first, second = (TRAINING_KINDS[kind].losses(estimator, rows, costs) for estimator in pair)
        cells = paired_losses(first, second, rows, shared)
    if not cells:
        raise TrainingError("the period has no candle that both versions answer")
    return comparison_report(cells, stride)


def scored_rows(
    grid: CandleGrid, symbols: tuple[str, ...], horizons: tuple[int, ...], *, from_ms: int, stride: int
) -> Dataset:
    """Rows of a period with a known outcome.

    Raises
    ------
    TrainingError
        If there are none.
    """
    # The seasonal profile of the baselines needs more history than the features.
    start = int(np.searchsorted(grid.open_time, from_ms)) - WARMUP - SEASON_DAYS * SLOTS
    rows = build_dataset(grid.span(max(start, 0), len(grid)), symbols, horizons, stride, first=from_ms)
    if not len(rows):
        raise TrainingError("the period has no candle with features and a known outcome")
    return rows
