"""What the folds of a run say of every kind: scores beside baselines, the duel with the champion, the side's worth."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelregistry.evaluation import report as reports
from modelregistry.evaluation.detail import detail_of
from modelregistry.evaluation.versus import collect_losses, versus_champion
from modelregistry.training.dataset import Dataset
from modelregistry.training.direction_rule import gain_of_direction, judge_direction
from modelregistry.training.fit_direction import UNIQUENESS
from modelregistry.training.fit_scale import fit_linear
from modelregistry.training.parts import SIGNAL

if TYPE_CHECKING:
    from modelregistry.training.pipeline import Request


class FoldTests:
    """What the folds said of every kind."""

    def __init__(self, request: "Request") -> None:
        self.request = request
        self.found = {kind: reports.Collected() for kind in request.kinds}
        self.duels = {kind: reports.Collected() for kind in request.champions}
        self.sided = reports.Collected()
        self.sides: list[dict[str, float]] = []

    def score(self, kind: str, estimator: Any, test: Dataset, train: Dataset) -> None:
        """Score one estimator on the rows of a fold it has not seen."""
        request = self.request
        if kind == SIGNAL:
            self.sides.append(gain_of_direction(estimator, test, request.costs))
            _collect(self.sided, kind, estimator, test, train, request)
            estimator = replace(estimator, directional=False)
        _collect(self.found[kind], kind, estimator, test, train, request)
        if kind in self.duels:
            collect_losses(self.duels[kind], kind, estimator, request.champions[kind], test, request.costs)

    def settled(self, final: dict[str, Any]) -> dict[str, Any]:
        """Let the side into the final estimator only if the folds proved it."""
        if SIGNAL not in final:
            return final
        enters = judge_direction(self.sides)["enters"]
        if enters:
            self.found[SIGNAL] = self.sided
        return {**final, SIGNAL: replace(final[SIGNAL], directional=enters)}

    def report(self, kind: str, estimator: Any, every: Dataset) -> dict[str, Any]:
        """Put the figures of one kind together."""
        request, stride = self.request, self.request.plan.stride
        told = _report(kind, self.found[kind], request)
        told["detail"] = detail_of(kind, self.found[kind], every, stride=stride, costs=request.costs)
        if kind == SIGNAL:
            told["direction"] = judge_direction(self.sides)
            told["uniqueness"] = {name: estimator.hyperparameters[name] for name in UNIQUENESS}
        if kind in self.duels:
            told["versus_champion"] = versus_champion(self.duels[kind], request.champions[kind], told, stride)
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
        return reports.bracket_report(found, request.costs)
    return reports.direction_report(found, request.plan.stride)
