"""Training run: purged walk-forward folds for the report, then the final fit on all rows."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indicators.candles import DAY_CANDLES, CandleGrid
from indicators.features import WARMUP, FeatureSet, installed
from modelregistry.dataset.rows import Dataset, MarketCandles, interleave
from modelregistry.errors import TrainingError
from modelregistry.estimators import boosting
from modelregistry.estimators.extra import EstimatorClass
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.golden import golden_rows
from modelregistry.estimators.kinds import RANGE, Estimator
from modelregistry.estimators.signal_classifier import CLASSES
from modelregistry.evaluation.baselines.kept import BASELINE_KEY, fit_stored_baseline
from modelregistry.evaluation.reports.champion_comparison import ComparedChampion
from modelregistry.training import gate
from modelregistry.training.effort import CANDLE, REPORTED, SCORED, RunSize, step_seconds
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fold_tests import EVALUATIONS
from modelregistry.training.kinds import TRAINING_KINDS
from modelregistry.training.parts import Part, Workload, parts_of
from modelregistry.training.refresh import Recipe, refresh_verdict
from modelregistry.training.workers import IN_PROCESS, Workers

GOLDEN_ROWS = 16
PROGRESS_UNITS = 10_000
"""Units of the progress of a run, in proportion to the expected time."""
Progress = Callable[[int, int, str], None]


class Cancelled(TrainingError):
    """The run was cancelled; nothing was written."""


@dataclass(frozen=True)
class TrainingRequest:
    """Kinds to train, with data and settings.

    Parameters
    ----------
    grid : CandleGrid
        All candles that may be read.
    symbols : tuple of str
        One per market of the grid.
    source : str
        "exchange" or "simulated"; part of the manifest.
    kinds, horizons : tuple
    plan : TrainingPlan
    costs : float
        Of a round trip, as a fraction of the price.
    first : int or None
        Open time (ms) of the earliest training row.
    champions : mapping of kind to ComparedChampion
        Champions that candidates are compared with.
    recipes : mapping of kind to Recipe
        Of every champion, one that cannot be compared too.
    refresh_margin : float
        Accepted increase of the loss of a refresh, in percent of the champion's.
    features : FeatureSet
    extra : mapping of kind to class
        Estimators of other packages to train instead of ours.
    """

    grid: CandleGrid
    symbols: tuple[str, ...]
    source: str
    kinds: tuple[str, ...]
    horizons: tuple[int, ...]
    plan: TrainingPlan
    costs: float
    first: int | None = None
    champions: Mapping[str, ComparedChampion] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    refresh_margin: float = 0.0
    features: FeatureSet = field(default_factory=installed)
    extra: Mapping[str, EstimatorClass] = field(default_factory=dict)

    @property
    def size(self) -> RunSize:
        """Numbers that the time of the run depends on."""
        present = self.grid.present if self.first is None else self.grid.present[:, self.grid.open_time >= self.first]
        warmup = WARMUP if self.first is None else 0
        candles = tuple(max(int(count) - warmup, 1) for count in present.sum(axis=1))
        return RunSize(self.plan, candles, len(self.horizons), frozenset(self.extra))

    def markets(self) -> list[MarketCandles]:
        """Candles and row settings of each market."""
        return [
            MarketCandles(symbol, self.grid.select(code), self.horizons, self.plan.stride, self.first, self.features)
            for code, symbol in enumerate(self.symbols)
        ]


@dataclass(frozen=True)
class TrainedEstimator:
    """A trained estimator with everything needed to write and register it."""

    kind: str
    estimator: Estimator
    manifest_fields: dict[str, Any]
    golden_rows: dict[str, Any]
    report: dict[str, Any]
    verdict: gate.Verdict

    @property
    def is_refresh(self) -> bool:
        """Whether it may replace the champion as a refresh."""
        return bool(self.report.get("refresh", {}).get("accepted"))


class _Steps:
    """Adds up the expected seconds of steps, reports progress and raises when the run is cancelled."""

    def __init__(
        self,
        in_order: Sequence[float],
        by_name: Mapping[str, float],
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.stage = ""
        self._in_order, self._by_name = iter(in_order), by_name
        self._done, self._total = 0.0, sum(in_order) + sum(by_name.values())
        self._progress, self._cancelled = progress, cancelled

    def __call__(self, message: str) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled; nothing was written")
        self._done += self._by_name[message] if message in self._by_name else next(self._in_order, 0.0)
        if self._progress is not None:
            share = min(round(PROGRESS_UNITS * self._done / self._total), PROGRESS_UNITS)
            self._progress(share, PROGRESS_UNITS, f"{self.stage}: {message}")


def expected_steps(size: RunSize, parts: Sequence[Part], workers: Workers) -> tuple[list[float], dict[str, float]]:
    """Expected seconds of the steps of a run, in order; by name of those that workers end in any order."""
    efforts = {part: step_seconds(size, part) for part in parts}
    in_order = [CANDLE * candles for candles in size.candles]
    by_name = {} if workers.in_process else {f"{part.name}: done": sum(effort) for part, effort in efforts.items()}
    for fold in (*range(size.plan.folds), None):
        own = [part for part in parts if part.fold == fold]
        if workers.in_process:
            in_order += [seconds for part in own for seconds in efforts[part]]
        if fold is not None:
            in_order += [size.test_rows * SCORED[kind] for part in own for kind in part.kinds]
    kinds = [kind for part in parts if part.fold is None for kind in part.kinds]
    return in_order + [REPORTED * size.test_rows * size.plan.folds for _ in kinds], by_name


def train_kinds(
    request: TrainingRequest,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    workers: Workers = IN_PROCESS,
) -> dict[str, TrainedEstimator]:
    """Train every requested kind on the same folds.

    Raises
    ------
    TrainingError
        If too few rows have features and a known outcome.
    Cancelled
        If `cancelled` returned true.
    """
    plan = request.plan
    parts = parts_of(request.kinds, plan.folds)
    steps = _Steps(*expected_steps(request.size, parts, workers), progress, cancelled)
    steps.stage = "candles, features and labels"
    with closing(workers.build(request.markets(), steps)) as built:
        all_rows = interleave(list(built), request.grid)
    rows = all_rows.take(np.flatnonzero(all_rows.has_features))
    for code, symbol in enumerate(request.symbols):
        if (rows.market == code).sum() * plan.stride < plan.test_days * DAY_CANDLES * 2:
            raise TrainingError(f"too few candles of {symbol} have features and a known outcome to train on")
    evaluations = {
        kind: EVALUATIONS[kind](kind, plan, request.costs, request.champions.get(kind)) for kind in request.kinds
    }
    workload = Workload(all_rows, plan, request.costs, request.extra)
    folds = workload.folds()
    with closing(workers.fit(workload, parts, steps)) as fitted:
        for number, fold in enumerate(folds, start=1):
            steps.stage = f"fold {number} of {len(folds)}"
            train = all_rows.take(fold.train[all_rows.has_features[fold.train]])
            test = all_rows.take(fold.test)
            for kind, estimator in _next(fitted, parts, number - 1).items():
                evaluations[kind].score(estimator, test, train)
                steps(f"{kind} scored")
        steps.stage = "all candles"
        final = _next(fitted, parts, None)
    steps.stage = "reports"
    trained = {}
    for kind, fitted_on_all in final.items():
        estimator = evaluations[kind].without_useless_parts(fitted_on_all)
        report = evaluations[kind].report(estimator, all_rows)
        report |= {
            "rows": len(rows),
            "test_days": plan.folds * plan.test_days,
            "folds": [_time_span(all_rows, fold.test) for fold in folds],
        }
        if kind == RANGE:
            report[BASELINE_KEY] = fit_stored_baseline(rows.horizons, rows.har, rows.sigma, rows.up, rows.down)
        verdict = TRAINING_KINDS[kind].judge(report, report.get("versus_champion"))
        manifest = _manifest(kind, estimator, rows, request)
        report |= _refresh(kind, manifest, report, request)
        pick = np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(int)
        golden = golden_rows(estimator, rows.inputs.take(pick))
        trained[kind] = TrainedEstimator(kind, estimator, manifest, golden, report, verdict)
        steps(kind)
    return trained


def _next(fitted: Generator[dict[str, Estimator]], parts: Sequence[Part], fold: int | None) -> dict[str, Estimator]:
    """Estimators of the parts of one fold, by kind; folds must be requested in order."""
    return {kind: one for part in parts if part.fold == fold for kind, one in next(fitted).items()}


def _time_span(rows: Dataset, picked: np.ndarray) -> dict[str, int]:
    times = rows.open_time[picked]
    return {"from_ms": int(times.min()), "to_ms": int(times.max()), "rows": len(picked)}


def _refresh(
    kind: str, manifest: Mapping[str, Any], report: Mapping[str, Any], request: TrainingRequest
) -> dict[str, Any]:
    """Verdict of the refresh rule, for the report; empty without a champion."""
    if kind not in request.recipes:
        return {}
    own = Recipe(
        manifest["feature_hash"],
        tuple(manifest["horizons"]),
        tuple(manifest["symbols"]),
        manifest["hyperparameters"],
        manifest["trained_until_ms"],
    )
    verdict = refresh_verdict(kind, own, request.recipes[kind], report, request.refresh_margin)
    return {"refresh": {"accepted": verdict.accepted, "reasons": verdict.reasons, "margin": request.refresh_margin}}


def _manifest(kind: str, estimator: Estimator, rows: Dataset, request: TrainingRequest) -> dict[str, Any]:
    grid = request.grid
    # Written only where there are any, so that manifests without them keep their digests.
    definitions = {"feature_definitions": request.features.definitions} if request.features.definitions else {}
    return {
        **definitions,
        "source": request.source,
        "symbols": sorted(request.symbols),
        "horizons": list(estimator.horizons),
        "interval_ms": grid.interval_ms,
        "features": list(request.features.names),
        "feature_hash": request.features.digest,
        "warmup": WARMUP,
        "levels": list(LEVELS),
        "classes": list(CLASSES),
        "label": TRAINING_KINDS[kind].label,
        "trained_from_ms": int(rows.open_time.min()),
        "trained_until_ms": int(grid.open_time[-1]) + grid.interval_ms,
        "rows": len(rows),
        "seed": request.plan.seed,
        "hyperparameters": estimator.hyperparameters,
        "libraries": boosting.library_versions(),
    }
