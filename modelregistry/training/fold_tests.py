"""Walk-forward evaluation of a run: scores, champion comparison, and optional parts to keep."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.kinds import RANGE, SIGNAL
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.evaluation.reports import report as reports
from modelregistry.evaluation.reports.champion_comparison import collect_losses, versus_champion
from modelregistry.evaluation.reports.correction import correction_report, correction_verdict
from modelregistry.evaluation.reports.meta_label import collect_meta_labels, meta_label_report
from modelregistry.training.direction_rule import gain_of_direction, side_verdict
from modelregistry.training.fit.signal_classifier import UNIQUENESS
from modelregistry.training.kinds import TRAINING_KINDS

if TYPE_CHECKING:
    from modelregistry.training.pipeline import TrainingRequest


class FoldEvaluation:
    """Collects the scores of every kind over the folds of a run."""

    def __init__(self, request: "TrainingRequest") -> None:
        self.request = request
        self.found = {kind: reports.Collected() for kind in request.kinds}
        self.comparisons = {kind: reports.Collected() for kind in request.champions}
        self.directional, self.meta = reports.Collected(), reports.Collected()
        self.direction_gains: list[dict[str, float]] = []
        self.correction: dict[str, Any] = {}

    def score(self, kind: str, estimator: Any, test: Dataset, train: Dataset) -> None:
        """Score one estimator on the test rows of a fold."""
        request = self.request
        if kind == SIGNAL:
            self.direction_gains.append(gain_of_direction(estimator, test, request.costs))
            collect_meta_labels(self.meta, estimator, test, request.costs)
            TRAINING_KINDS[kind].collect(self.directional, estimator, test, train, request.costs)
            estimator = replace(estimator, directional=False)
        TRAINING_KINDS[kind].collect(self.found[kind], estimator, test, train, request.costs)
        if kind in self.comparisons:
            losses, champion = TRAINING_KINDS[kind].losses, request.champions[kind]
            collect_losses(self.comparisons[kind], losses, estimator, champion, test, request.costs)

    def with_verdicts(self, final: dict[str, Any]) -> dict[str, Any]:
        """Remove parts without benefit from the final estimators: side and online correction."""
        if SIGNAL in final:
            enters = side_verdict(self.direction_gains)["enters"]
            if enters:
                self.found[SIGNAL] = self.directional
            final = {**final, SIGNAL: replace(final[SIGNAL], directional=enters)}
        ranges = self.found.get(RANGE)
        if RANGE in final and ranges is not None and ranges.uncorrected is not None:
            table = correction_report(ranges.cells(), ranges.uncorrected.cells())
            verdict = correction_verdict(table)
            self.correction = {"correction": table, "correction_rule": verdict}
            if not verdict["kept"]:
                final = {**final, RANGE: self._uncorrected(final[RANGE])}
        return final

    def _uncorrected(self, predictor: RangePredictor) -> RangePredictor:
        """Remove the correction from the predictor and from its scores."""
        self.found[RANGE] = self.found[RANGE].without_correction()
        if RANGE in self.comparisons:
            self.comparisons[RANGE] = self.comparisons[RANGE].without_correction()
        return replace(
            predictor, correction=NO_CORRECTION, hyperparameters={**predictor.hyperparameters, "corrected": False}
        )  # fmt: skip

    def report(self, kind: str, estimator: Any, all_rows: Dataset) -> dict[str, Any]:
        """Report of one kind."""
        request, stride = self.request, self.request.plan.stride
        report = TRAINING_KINDS[kind].full_report(self.found[kind], all_rows, stride, request.costs)
        if kind == RANGE:
            report |= self.correction
        if kind == SIGNAL:
            report["direction"] = side_verdict(self.direction_gains)
            report["meta_label"] = {
                "out_of_fold_accuracy": 100 * estimator.hyperparameters["out_of_fold_accuracy"],
                **meta_label_report(self.meta, stride),
            }
            report["uniqueness"] = {name: estimator.hyperparameters[name] for name in UNIQUENESS}
        if kind in self.comparisons:
            report["versus_champion"] = versus_champion(self.comparisons[kind], request.champions[kind], report, stride)
        return report
