"""One training run: purged walk-forward folds that are reported, then the fit on all rows that is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indicators.candles import CandleGrid
from indicators.features import FEATURE_HASH, FEATURE_NAMES, WARMUP
from modelregistry.errors import TrainingError
from modelregistry.estimators import boosting
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.golden import golden_rows
from modelregistry.estimators.signal_classifier import CLASSES
from modelregistry.evaluation import report as reports
from modelregistry.evaluation.versus import versus_champion
from modelregistry.training import gate
from modelregistry.training.dataset import Dataset, build_dataset
from modelregistry.training.fit_brackets import fit_brackets
from modelregistry.training.fit_direction import fit_direction
from modelregistry.training.fit_range import fit_range
from modelregistry.training.fit_residuals import CROSS_BLOCKS
from modelregistry.training.fit_scale import fit_linear, fit_scale
from modelregistry.training.folds import walk_forward
from modelregistry.training.plan import TrainingPlan

KINDS = ("range_predictor", "tpsl_classifier", "signal_classifier")
GOLDEN_ROWS = 16
DAY_MS = 86_400_000
Progress = Callable[[int, int, str], None]


class Cancelled(TrainingError):
    """Somebody asked the run to stop; nothing was written."""


@dataclass(frozen=True)
class Request:
    """What to train, on which candles.

    Parameters
    ----------
    grid : CandleGrid
        Every candle that may be read, and none later.
    symbols : tuple of str
        One per market of the grid.
    source : str
        "exchange" or "simulated"; part of the manifest.
    kinds, horizons : tuple
    plan : TrainingPlan
    costs : float
        A round trip, as a fraction of the price.
    first : int or None
        Open time (ms) of the earliest row to learn from.
    champions : mapping of kind to (estimator, end of its training in ms)
        Who a candidate is compared with.
    """

    grid: CandleGrid
    symbols: tuple[str, ...]
    source: str
    kinds: tuple[str, ...]
    horizons: tuple[int, ...]
    plan: TrainingPlan
    costs: float
    first: int | None = None
    champions: Mapping[str, tuple[Any, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """One estimator ready to be written and registered."""

    kind: str
    estimator: Any
    manifest_fields: dict[str, Any]
    golden_rows: dict[str, Any]
    report: dict[str, Any]
    verdict: gate.Verdict


class _Steps:
    """Counts pieces of work, tells progress and listens for a cancel."""

    def __init__(self, total: int, progress: Progress | None, cancelled: Callable[[], bool] | None) -> None:
        self.done, self.total = 0, total
        self.stage = ""
        self._progress, self._cancelled = progress, cancelled

    def __call__(self, message: str) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled; nothing was written")
        self.done = min(self.done + 1, self.total)
        if self._progress is not None:
            self._progress(self.done, self.total, f"{self.stage}: {message}")


def train_kinds(
    request: Request, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> dict[str, Trained]:
    """Train every kind asked for on the same folds.

    Raises
    ------
    TrainingError
        If too few rows have features and a known future.
    Cancelled
        If `cancelled` said so.
    """
    plan = request.plan
    steps = _Steps(_pieces(request), progress, cancelled)
    steps.stage = "features"
    every = build_dataset(request.grid, request.symbols, request.horizons, plan.stride, first=request.first)
    rows = every.take(np.flatnonzero(every.answerable))
    for code, symbol in enumerate(request.symbols):
        if (rows.market == code).sum() * plan.stride < plan.test_days * 288 * 2:
            raise TrainingError(f"too few candles of {symbol} have features and a known future to train on")
    steps("candles, features and labels")
    found = {kind: reports.Collected() for kind in request.kinds}
    versus: dict[str, dict[str, Any]] = {}
    folds = list(walk_forward(every.open_time, every.ends, plan.folds, test_span=plan.test_days * DAY_MS))
    for number, fold in enumerate(folds, start=1):
        steps.stage = f"fold {number} of {len(folds)}"
        train = every.take(fold.train[every.answerable[fold.train]])
        test = every.take(fold.test)
        fitted = _fit(train, request, steps)
        for kind, estimator in fitted.items():
            _collect(found[kind], kind, estimator, test, train, request)
            if kind in request.champions:
                champion, until_ms = request.champions[kind]
                later = test.take(np.flatnonzero((test.open_time >= until_ms) & test.answerable))
                versus[kind] = versus_champion(kind, estimator, champion, later, request.costs)
            steps(f"{kind} scored")
    steps.stage = "all candles"
    trained = {}
    for kind, estimator in _fit(rows, request, steps).items():
        told = _report(kind, found[kind], request)
        told |= {
            "rows": len(rows),
            "test_days": plan.folds * plan.test_days,
            "folds": [_stretch(every, fold.test) for fold in folds],
        }
        if kind in versus:
            told["versus_champion"] = versus[kind]
        verdict = _judge(kind, told, versus.get(kind))
        pick = np.linspace(0, len(rows) - 1, GOLDEN_ROWS).astype(int)
        golden = golden_rows(kind, estimator, rows.features[pick], rows.close[pick], rows.sigma[pick])
        trained[kind] = Trained(kind, estimator, _manifest(kind, estimator, rows, request), golden, told, verdict)
    return trained


def _pieces(request: Request) -> int:
    scale = (request.plan.cross_blocks + 1) * len(request.horizons)
    per_kind = {"range_predictor": 2 + CROSS_BLOCKS, "tpsl_classifier": len(request.horizons)}
    fit = sum(per_kind.get(kind, 2) for kind in request.kinds)
    fit += scale if set(request.kinds) & set(per_kind) else 0
    return 1 + request.plan.folds * (fit + len(request.kinds)) + fit


def _fit(rows: Dataset, request: Request, steps: _Steps) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    names = list(FEATURE_NAMES)
    if {"range_predictor", "tpsl_classifier"} & set(request.kinds):
        scale = fit_scale(rows, request.plan, tick=steps)
        if "range_predictor" in request.kinds:
            fitted["range_predictor"] = fit_range(rows, scale, request.plan, names, steps)
        if "tpsl_classifier" in request.kinds:
            fitted["tpsl_classifier"] = fit_brackets(rows, scale, request.plan, names, steps)
    if "signal_classifier" in request.kinds:
        fitted["signal_classifier"] = fit_direction(
            rows, request.plan, names, steps, horizon=max(request.horizons), costs=request.costs
        )
    return fitted


def _collect(
    found: reports.Collected, kind: str, estimator: Any, test: Dataset, train: Dataset, request: Request
) -> None:
    if kind == "range_predictor":
        linear = fit_linear(train.features, train.log_range)
        reports.collect_ranges(found, estimator, test, train, linear)
    elif kind == "tpsl_classifier":
        reports.collect_brackets(found, estimator, test)
    else:
        reports.collect_directions(found, estimator, test, request.costs)


def _report(kind: str, found: reports.Collected, request: Request) -> dict[str, Any]:
    if kind == "range_predictor":
        return reports.range_report(found, request.plan.stride)
    if kind == "tpsl_classifier":
        return reports.bracket_report(found, request.costs)
    return reports.direction_report(found, request.plan.stride)


def _judge(kind: str, told: Mapping[str, Any], versus: Mapping[str, Any] | None) -> gate.Verdict:
    judges = {"range_predictor": gate.judge_ranges, "tpsl_classifier": gate.judge_brackets}
    return judges.get(kind, gate.judge_directions)(told, versus)


def _stretch(rows: Dataset, picked: np.ndarray) -> dict[str, int]:
    times = rows.open_time[picked]
    return {"from_ms": int(times.min()), "to_ms": int(times.max()), "rows": len(picked)}


LABELS = {
    "range_predictor": "log(H/C) and log(C/L) over the next h candles",
    "tpsl_classifier": "first touch after entry at the next open; both in one candle is a stop-loss",
    "signal_classifier": "triple barrier at sigma * sqrt(h) with costs",
}


def _manifest(kind: str, estimator: Any, rows: Dataset, request: Request) -> dict[str, Any]:
    grid = request.grid
    return {
        "source": request.source,
        "symbols": sorted(request.symbols),
        "horizons": list(estimator.horizons),
        "interval_ms": grid.interval_ms,
        "features": list(FEATURE_NAMES),
        "feature_hash": FEATURE_HASH,
        "warmup": WARMUP,
        "levels": list(LEVELS),
        "classes": list(CLASSES),
        "label": LABELS[kind],
        "trained_from_ms": int(rows.open_time.min()),
        "trained_until_ms": int(grid.open_time[-1]) + grid.interval_ms,
        "rows": len(rows),
        "seed": request.plan.seed,
        "hyperparameters": estimator.hyperparameters,
        "libraries": boosting.library_versions(),
    }


def symbols_in_order(symbols: Sequence[str]) -> tuple[str, ...]:
    """Sort and deduplicate: the order of markets must not change the bytes."""
    return tuple(sorted(set(symbols)))
