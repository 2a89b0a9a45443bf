"""What the folds of a run say of every kind: scores, the duel with the champion, and which parts are worth keeping."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelregistry.estimators.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.evaluation import report as reports
from modelregistry.evaluation.correction_report import correction_report
from modelregistry.evaluation.detail import detail_of
from modelregistry.evaluation.meta_label import collect_meta_labels, meta_label_report
from modelregistry.evaluation.versus import collect_losses, versus_champion
from modelregistry.training.correction_rule import judge_correction
from modelregistry.training.dataset import Dataset
from modelregistry.training.direction_rule import gain_of_direction, judge_direction
from modelregistry.training.fit_direction import UNIQUENESS
from modelregistry.training.fit_scale import fit_linear
from modelregistry.training.parts import RANGE, SIGNAL

if TYPE_CHECKING:
    from modelregistry.training.pipeline import Request


class FoldEvaluation:
    """What the folds said of every kind."""

    def __init__(self, request: "Request") -> None:
        self.request = request
        self.found = {kind: reports.Collected() for kind in request.kinds}
        self.comparisons = {kind: reports.Collected() for kind in request.champions}
        self.directional, self.meta = reports.Collected(), reports.Collected()
        self.direction_gains: list[dict[str, float]] = []
        self.correction: dict[str, Any] = {}

    def score(self, kind: str, estimator: Any, test: Dataset, train: Dataset) -> None:
        """Score one estimator on the rows of a fold it has not seen."""
        request = self.request
        if kind == SIGNAL:
            self.direction_gains.append(gain_of_direction(estimator, test, request.costs))
            collect_meta_labels(self.meta, estimator, test, request.costs)
            _collect(self.directional, kind, estimator, test, train, request)
            estimator = replace(estimator, directional=False)
        _collect(self.found[kind], kind, estimator, test, train, request)
        if kind in self.comparisons:
            collect_losses(self.comparisons[kind], kind, estimator, request.champions[kind], test, request.costs)

    def with_verdicts(self, final: dict[str, Any]) -> dict[str, Any]:
        """Leave out of the final estimators what the folds did not prove: the side, and a correction that is dear."""
        if SIGNAL in final:
            enters = judge_direction(self.direction_gains)["enters"]
            if enters:
                self.found[SIGNAL] = self.directional
            final = {**final, SIGNAL: replace(final[SIGNAL], directional=enters)}
        ranges = self.found.get(RANGE)
        if RANGE in final and ranges is not None and ranges.uncorrected is not None:
            table = correction_report(ranges.cells(), ranges.uncorrected.cells())
            verdict = judge_correction(table)
            self.correction = {"correction": table, "correction_rule": verdict}
            if not verdict["kept"]:
                final = {**final, RANGE: self._uncorrected(final[RANGE])}
        return final

    def _uncorrected(self, predictor: RangePredictor) -> RangePredictor:
        """The same ranges without their correction, and with the scores they have without it."""
        self.found[RANGE] = self.found[RANGE].without_correction()
        if RANGE in self.comparisons:
            self.comparisons[RANGE] = self.comparisons[RANGE].without_correction()
        return replace(
            predictor, correction=NO_CORRECTION, hyperparameters={**predictor.hyperparameters, "corrected": False}
        )  # fmt: skip

    def report(self, kind: str, estimator: Any, every: Dataset) -> dict[str, Any]:
        """Put the figures of one kind together."""
        request, stride = self.request, self.request.plan.stride
        told = _report(kind, self.found[kind], request)
        told["detail"] = detail_of(kind, self.found[kind], every, stride=stride, costs=request.costs)
        if kind == RANGE:
            told |= self.correction
        if kind == SIGNAL:
            told["direction"] = judge_direction(self.direction_gains)
            told["meta_label"] = {
                "out_of_fold_accuracy": 100 * estimator.hyperparameters["out_of_fold_accuracy"],
                **meta_label_report(self.meta, stride),
            }
            told["uniqueness"] = {name: estimator.hyperparameters[name] for name in UNIQUENESS}
        if kind in self.comparisons:
            told["versus_champion"] = versus_champion(self.comparisons[kind], request.champions[kind], told, stride)
        return told


def _collect(
    found: reports.Collected, kind: str, estimator: Any, test: Dataset, train: Dataset, request: "Request"
) -> None:
    if kind == "range_predictor":
        linear = fit_linear(train.features, train.log_range)
        reports.collect_ranges(found, estimator, test, train, linear)
    elif kind == "tpsl_classifier":
        reports.collect_brackets(found, estimator, test)
    else:
        reports.collect_directions(found, estimator, test, request.costs)


def _report(kind: str, found: reports.Collected, request: "Request") -> dict[str, Any]:
    if kind == "range_predictor":
        return reports.range_report(found, request.plan.stride)
    if kind == "tpsl_classifier":
        return reports.bracket_report(found, request.costs, request.plan.stride)
    return reports.direction_report(found, request.plan.stride)
