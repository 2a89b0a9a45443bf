"""Walk-forward evaluation of each kind: scores, champion comparison, and optional parts to keep."""

from dataclasses import replace
from typing import Any, Generic, TypeVar

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL, Estimator
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.evaluation.reports.champion_comparison import ComparedChampion, collect_losses, versus_champion
from modelregistry.evaluation.reports.correction import correction_report, correction_verdict
from modelregistry.evaluation.reports.meta_label import collect_meta_labels, meta_label_report
from modelregistry.evaluation.reports.report import Collected
from modelregistry.training.direction_rule import gain_of_direction, side_verdict
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.signal_classifier import UNIQUENESS
from modelregistry.training.kinds import TRAINING_KINDS

EstimatorT = TypeVar("EstimatorT", bound=Estimator)


class FoldEvaluation(Generic[EstimatorT]):
    """Scores of one kind over the folds of a run, beside those of its champion."""

    def __init__(self, kind: str, plan: TrainingPlan, costs: float, champion: ComparedChampion | None = None) -> None:
        self.kind, self.stride, self.costs, self.champion = TRAINING_KINDS[kind], plan.stride, costs, champion
        self.found, self.compared = Collected(), Collected()

    def score(self, estimator: EstimatorT, test: Dataset, train: Dataset) -> None:
        """Score an estimator on the test rows of a fold."""
        self.kind.collect(self.found, estimator, test, train, self.costs)
        if self.champion is not None:
            collect_losses(self.compared, self.kind.losses, estimator, self.champion, test, self.costs)

    def without_useless_parts(self, estimator: EstimatorT) -> EstimatorT:
        """The final estimator without optional parts that showed no benefit on the folds."""
        return estimator

    def report(self, estimator: EstimatorT, all_rows: Dataset) -> dict[str, Any]:
        """Report of the kind."""
        report = self.kind.full_report(self.found, all_rows, self.stride, self.costs) | self.optional_parts(estimator)
        if self.champion is not None:
            report["versus_champion"] = versus_champion(self.compared, self.champion, report, self.stride)
        return report

    def optional_parts(self, _estimator: EstimatorT) -> dict[str, Any]:
        """Figures and verdicts on the optional parts, for the report."""
        return {}


class RangeEvaluation(FoldEvaluation[RangePredictor]):
    """Scores of range predictors with and without their online correction."""

    correction: dict[str, Any] | None = None

    def without_useless_parts(self, estimator: RangePredictor) -> RangePredictor:
        """The predictor without its online correction if that costs too much."""
        if self.found.uncorrected is None:
            return estimator
        table = correction_report(self.found.cells(), self.found.uncorrected.cells())
        verdict = correction_verdict(table)
        self.correction = {"correction": table, "correction_rule": verdict}
        if verdict["kept"]:
            return estimator
        self.found, self.compared = self.found.without_correction(), self.compared.without_correction()
        hyperparameters = {**estimator.hyperparameters, "corrected": False}
        return replace(estimator, correction=NO_CORRECTION, hyperparameters=hyperparameters)

    def optional_parts(self, _estimator: RangePredictor) -> dict[str, Any]:
        """Figures and verdict on the online correction."""
        return self.correction or {}


class DirectionEvaluation(FoldEvaluation[SignalClassifier]):
    """Scores of signal classifiers with and without their side."""

    def __init__(self, kind: str, plan: TrainingPlan, costs: float, champion: ComparedChampion | None = None) -> None:
        super().__init__(kind, plan, costs, champion)
        self.directional, self.meta = Collected(), Collected()
        self.gains: list[dict[str, float]] = []

    def score(self, estimator: SignalClassifier, test: Dataset, train: Dataset) -> None:
        """Score a classifier with its side, then without it."""
        self.gains.append(gain_of_direction(estimator, test, self.costs))
        collect_meta_labels(self.meta, estimator, test, self.costs)
        self.kind.collect(self.directional, estimator, test, train, self.costs)
        super().score(replace(estimator, directional=False), test, train)

    def without_useless_parts(self, estimator: SignalClassifier) -> SignalClassifier:
        """The classifier without its side unless that has skill."""
        enters = side_verdict(self.gains)["enters"]
        if enters:
            self.found = self.directional
        return replace(estimator, directional=enters)

    def optional_parts(self, estimator: SignalClassifier) -> dict[str, Any]:
        """Verdict on the side, figures of the meta-label and of label overlap."""
        accuracy = 100 * estimator.hyperparameters["out_of_fold_accuracy"]
        return {
            "direction": side_verdict(self.gains),
            "meta_label": {"out_of_fold_accuracy": accuracy, **meta_label_report(self.meta, self.stride)},
            "uniqueness": {name: estimator.hyperparameters[name] for name in UNIQUENESS},
        }


EVALUATIONS: dict[str, type[FoldEvaluation[Any]]] = {
    RANGE: RangeEvaluation,
    TPSL: FoldEvaluation,
    SIGNAL: DirectionEvaluation,
}
