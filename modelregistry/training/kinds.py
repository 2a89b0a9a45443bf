"""Kinds of estimators in training: how each is fitted, scored, compared and judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators import kinds
from modelregistry.evaluation.reports import report as reports
from modelregistry.evaluation.reports.champion_comparison import (
    LossesAt,
    bracket_losses,
    direction_losses,
    range_losses,
)
from modelregistry.evaluation.reports.detail import bracket_detail, direction_detail, range_detail
from modelregistry.evaluation.reports.report import Collected
from modelregistry.training import gate
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.range_predictor import fit_range
from modelregistry.training.fit.scale import FittedScale, fit_linear
from modelregistry.training.fit.signal_classifier import fit_direction
from modelregistry.training.fit.tpsl_classifier import fit_brackets

Tick = Callable[[str], None]
Report = dict[str, Any]


@dataclass(frozen=True)
class TrainingKind:
    """A kind of estimator in training.

    Every function takes what any kind may need and uses what it needs.
    """

    label: str
    """The label it is fitted to, as written in manifests."""
    shares_scale: bool
    fit: Callable[[Dataset, Callable[[], FittedScale], TrainingPlan, Sequence[str], Tick, float], kinds.Estimator]
    """Rows, fitted scale, plan, names of the features, progress and costs to estimator."""
    collect: Callable[[Collected, Any, Dataset, Dataset, float], None]
    """Add the scores of an estimator on test rows, beside baselines fitted on training rows, after costs."""
    report: Callable[[Collected, int, float], Report]
    """Scores, stride and costs to report."""
    detail: Callable[[Collected, Dataset, int, float], Report]
    """Scores, their rows, stride and costs to the detail of a report."""
    losses: Callable[[Any, Dataset, float], LossesAt]
    """Losses of an estimator on rows by horizon, after costs."""
    judge: Callable[[Mapping[str, Any], Mapping[str, Any] | None], gate.Verdict]
    """Report and champion comparison to verdict."""
    calibration: Callable[[Mapping[str, Any]], list[str]]
    """Report to the reasons why the kind is not calibrated."""

    def detail_of(self, found: Collected, rows: Dataset, stride: int, costs: float) -> Report:
        """Detail of a report; without scores it has no cells."""
        return self.detail(found, rows, stride, costs) if found.parts else {"cells": []}

    def full_report(self, found: Collected, rows: Dataset, stride: int, costs: float) -> Report:
        """Report with its detail."""
        return {**self.report(found, stride, costs), "detail": self.detail_of(found, rows, stride, costs)}


TRAINING_KINDS = {
    kinds.RANGE: TrainingKind(
        label="log(H/C) and log(C/L) over the next h candles",
        shares_scale=True,
        fit=lambda rows, scale, plan, names, tick, _costs: fit_range(rows, scale(), plan, names, tick),
        collect=lambda found, predictor, test, train, _costs: reports.collect_ranges(
            found, predictor, test, train, fit_linear(train.features, train.log_range)
        ),
        report=lambda found, stride, _costs: reports.range_report(found, stride),
        detail=lambda found, rows, stride, _costs: range_detail(found, rows, stride),
        losses=range_losses,
        judge=gate.range_verdict,
        calibration=gate.range_calibration,
    ),
    kinds.TPSL: TrainingKind(
        label="first touch after entry at the next open; both in one candle is a stop-loss",
        shares_scale=True,
        fit=lambda rows, scale, plan, names, tick, _costs: fit_brackets(rows, scale(), plan, names, tick),
        collect=lambda found, classifier, test, _train, _costs: reports.collect_brackets(found, classifier, test),
        report=lambda found, stride, costs: reports.bracket_report(found, costs, stride),
        detail=lambda found, _rows, _stride, costs: bracket_detail(found, costs),
        losses=bracket_losses,
        judge=gate.bracket_verdict,
        calibration=gate.bracket_calibration,
    ),
    kinds.SIGNAL: TrainingKind(
        label="meta-label of an out-of-fold side: triple barrier at sigma * sqrt(h) with costs",
        shares_scale=False,
        fit=lambda rows, _scale, plan, names, tick, costs: fit_direction(
            rows, plan, names, tick, horizon=max(rows.horizons), costs=costs
        ),
        collect=lambda found, classifier, test, _train, costs: reports.collect_directions(
            found, classifier, test, costs
        ),
        report=lambda found, stride, _costs: reports.direction_report(found, stride),
        detail=lambda found, rows, _stride, _costs: direction_detail(found, rows),
        losses=direction_losses,
        judge=gate.direction_verdict,
        calibration=gate.direction_calibration,
    ),
}
