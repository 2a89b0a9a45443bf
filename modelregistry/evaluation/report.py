"""What a version said on rows it never saw, beside what costs nothing: the numbers of its report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indicators.barriers import Side, Touch
from modelregistry.estimators.correction import NO_CORRECTION
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.scale import LinearScale
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.evaluation import metrics, strategies
from modelregistry.evaluation.baselines import NAMES
from modelregistry.evaluation.cells import CORRECTED, TARGETS, bracket_cell, losses_of, mean_of, range_cell
from modelregistry.evaluation.correction_report import correction_report
from modelregistry.evaluation.coverage_kept import coverage_summary
from modelregistry.evaluation.free import ReferenceForecasts
from modelregistry.evaluation.paired import block_error, compare
from modelregistry.evaluation.pooled import CellLosses, pooled_skill
from modelregistry.evaluation.served import served, uncorrected
from modelregistry.training.dataset import Dataset
from modelregistry.training.outcomes import bracket_levels, direction_labels, window_outcomes

GRID: dict[str, tuple[float, float]] = {"1x1": (1.0, 1.0), "1.5x0.75": (1.5, 0.75), "0.75x1.5": (0.75, 1.5)}
"""Scoring grid: take-profit and stop-loss in units of EWM sigma times the root of the horizon."""
SIDES: tuple[Side, ...] = ("buy", "sell")
Key = tuple[Any, ...]
BASELINE_NAMES = tuple(sorted((*NAMES, "ridge")))


@dataclass
class Collected:
    """Arrays of one kind by cell, gathered over folds before anything is averaged."""

    parts: dict[Key, list[tuple[np.ndarray, ...]]] = field(default_factory=dict)
    uncorrected: "Collected | None" = None
    """The same cells as they would have been said without an online correction, where there is one."""
    names: tuple[str, ...] = BASELINE_NAMES
    """Of the baselines whose losses range cells hold, in their order."""

    def add(self, key: Key, *arrays: np.ndarray) -> None:
        """Keep the arrays of a cell from one fold."""
        self.parts.setdefault(key, []).append(arrays)

    def cells(self) -> dict[Key, tuple[np.ndarray, ...]]:
        """Every cell's arrays joined in the order they came."""
        joined = {}
        for key, kept in self.parts.items():
            joined[key] = tuple(np.concatenate(column) for column in zip(*kept, strict=True))
        return joined

    def without_correction(self) -> "Collected":
        """The same rows with what would have been said uncorrected, beside uncorrected baselines."""
        raw = self.uncorrected.parts if self.uncorrected is not None else {}
        return Collected(
            {
                key: [
                    (*said, *columns[len(said) :])
                    for said, columns in zip(raw.get(key, [()] * len(kept)), kept, strict=True)
                ]
                for key, kept in self.parts.items()
            },
            names=tuple(name for name in self.names if not name.endswith(CORRECTED)),
        )


def collect_ranges(
    found: Collected, predictor: RangePredictor, test: Dataset, train: Dataset, linear: LinearScale
) -> None:
    """Add what the predictor, as it is served, and the baselines, fitted on `train`, say about `test`."""
    answerable = test.answerable
    rows = test.take(np.flatnonzero(answerable))
    forecast, raw = served(predictor, rows), uncorrected(predictor, rows)
    if raw is not None and found.uncorrected is None:
        found.uncorrected = Collected()
    free = ReferenceForecasts(train, test, linear, getattr(predictor, "correction", NO_CORRECTION))
    for k, horizon in enumerate(test.horizons):
        own = _distances(forecast, horizon, rows.close)
        bare = _distances(raw, horizon, rows.close) if raw is not None else None
        for code, symbol in enumerate(test.symbols):
            mine = test.market == code
            if not mine.any():
                continue
            for side, target in enumerate(TARGETS):
                ahead = np.expm1(test.up[:, k]) if side == 0 else -np.expm1(-test.down[:, k])
                said = np.full((len(test), len(LEVELS)), np.nan)
                said[answerable] = own[side]
                losses = free.losses(k, code, side)
                # Those with a correction last: without it they are left out.
                found.names = tuple(sorted(losses, key=lambda name: (name.endswith(CORRECTED), name)))
                stacked = np.stack([losses[name] for name in found.names], axis=1)
                found.add((symbol, horizon, target), said[mine], ahead[mine], stacked, test.open_time[mine])
                if bare is not None and found.uncorrected is not None:
                    said[answerable] = bare[side]
                    found.uncorrected.add((symbol, horizon, target), said[mine])


def _distances(forecast: RangeForecast, horizon: int, close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of the distance to the high and to the low as fractions of the close."""
    at = forecast.at(horizon)
    return forecast.high[:, at] / close[:, None] - 1.0, 1.0 - forecast.low[:, at, ::-1] / close[:, None]


def range_report(found: Collected, stride: int) -> dict[str, Any]:
    """Cells and their means; `skill` is the share of the best free baseline's loss that is saved."""
    cells: list[dict[str, Any]] = []
    lost: dict[int, list[CellLosses]] = {}
    for (symbol, horizon, target), (said, ahead, stacked, times) in found.cells().items():
        order = np.argsort(times, kind="stable")
        beside = losses_of(said[order], ahead[order], {name: stacked[order, i] for i, name in enumerate(found.names)})
        cell = range_cell(said[order], ahead[order], beside, times[order], horizon, stride)
        cells.append({"symbol": symbol, "horizon": horizon, "target": target, **cell})
        lost.setdefault(horizon, []).append(CellLosses(beside.own, beside.floor, times[order]))
    means = ("skill_over_ewm", "coverage_80", "coverage_90", "answered")
    by_horizon = [
        {
            "horizon": horizon,
            **pooled_skill(mine, horizon, stride),
            **{name: mean_of([cell for cell in cells if cell["horizon"] == horizon], name) for name in means},
        }
        for horizon, mine in sorted(lost.items())
    ]
    return {
        "skill": float(np.mean([cell["skill"] for cell in cells])) / 100,
        "horizons": by_horizon,
        "coverage": coverage_summary(cells),
        "cells": cells,
        **({"correction": correction_report(found.cells(), found.uncorrected.cells())} if found.uncorrected else {}),
    }


BRACKET_COLUMNS = ("chances", "outcome", "near", "far", "middle", "gross", "doubt", "trend", "when")
"""Of every cell of brackets: three probabilities; the outcome; distances to take-profit and stop-loss; the mean return
given neither, as expected; the return that came; the error of the expected return at a one-sided 95 %; the sign of the
last return over the horizon; the open time."""


def collect_brackets(found: Collected, classifier: TpslClassifier, test: Dataset) -> None:
    """Add probabilities and outcomes of the scoring grid; what is refused is kept, with chances of NaN."""
    rows, answered = test, test.answerable
    view = classifier.view(rows.features, rows.close, rows.sigma)
    for horizon in classifier.horizons:
        earlier = rows.grid.close[rows.market, np.maximum(rows.position - horizon, 0)]
        trend = np.sign(rows.close - earlier)
        for side in SIDES:
            error = strategies.Z * view.standard_error(horizon, side)
            for name, shape in GRID.items():
                take_profit, stop_loss = bracket_levels(rows, horizon, side, shape)
                chances, middle = (
                    np.where(answered.reshape(-1, *[1] * (part.ndim - 1)), part, np.nan)
                    for part in view.ends(horizon, side, take_profit, stop_loss)
                )
                outcome, gross = window_outcomes(rows, horizon, side, take_profit, stop_loss)
                near, far = np.abs(take_profit / rows.close - 1), np.abs(stop_loss / rows.close - 1)
                for code, symbol in enumerate(rows.symbols):
                    mine = (rows.market == code) & (outcome >= 0) & (outcome <= Touch.NEITHER)
                    if mine.any():
                        doubt = error * (near + far)
                        kept = (chances, outcome, near, far, middle, gross, doubt, trend, rows.open_time)
                        found.add((symbol, horizon, side, name), *(column[mine] for column in kept))


def expected_return(
    chances: np.ndarray, near: np.ndarray, far: np.ndarray, middle: np.ndarray, costs: float
) -> np.ndarray:
    """Expected net return of a bracket from its three ends.

    Examples
    --------
    >>> one = np.array([0.01])
    >>> expected_return(np.array([[0.4, 0.4, 0.2]]), one, one, np.array([0.0]), costs=0.002).round(4).tolist()
    [-0.002]
    """
    return chances[:, 0] * near - chances[:, 1] * far + chances[:, 2] * middle - costs


def bracket_report(found: Collected, costs: float, stride: int) -> dict[str, Any]:
    """Cells, their means, and what acting would have earned.

    `hoped` acts on every bracket of the grid whose expected net return is above 0, `net` on those whose lower bound
    is; `strategies` hold one position per market and stand beside what needs no model.
    """
    cells, trades, offers = [], [], {}
    for key, kept in found.cells().items():
        column = dict(zip(BRACKET_COLUMNS, kept, strict=True))
        named = dict(zip(("symbol", "horizon", "side", "bracket"), key, strict=True))
        happened, distances = np.eye(3)[column["outcome"]], (column["near"], column["far"])
        scored = bracket_cell(column["chances"], happened, *distances, column["when"], named["horizon"], stride)
        cells.append({**named, **scored})
        hope = expected_return(column["chances"], column["near"], column["far"], column["middle"], costs)
        offers[key] = {**column, "expected": hope + costs}
        trades.append((column["gross"] - costs, hope, column["when"], hope - column["doubt"]))
    net, hopes, times, lower = (np.concatenate(column) for column in zip(*trades, strict=True))
    acted = {"hoped": hopes > 0, "net": lower > 0}
    return {
        "skill": float(np.mean([cell["skill"] for cell in cells])) / 100,
        "skill_1x1": float(np.mean([cell["skill"] for cell in cells if cell["bracket"] == "1x1"])),
        "worst_over_first_passage": min(cell["skill_over_first_passage"] for cell in cells),
        **{name: net_report(net[mine], hopes[mine], times[mine], costs) for name, mine in acted.items()},
        "strategies": strategies.strategy_table(offers),
        "cells": cells,
    }


def net_report(net: np.ndarray, expected: np.ndarray, open_time: np.ndarray, costs: float) -> dict[str, Any]:
    """What the chosen trades earned after costs, in basis points, with the days they fell on."""
    days = len(np.unique(open_time // 86_400_000))
    if not len(net):
        return {"trades": 0, "days": 0, "costs_bps": costs * metrics.BPS}
    order = np.argsort(open_time, kind="stable")
    return {
        "trades": len(net),
        "days": days,
        "costs_bps": costs * metrics.BPS,
        "expected_bps": float(expected.mean() * metrics.BPS),
        "realised_bps": float(net.mean() * metrics.BPS),
        "error_bps": float(block_error(net[order], open_time[order]) * metrics.BPS),
        "enough_days": days >= 30,
    }


def collect_directions(found: Collected, classifier: SignalClassifier, test: Dataset, costs: float) -> None:
    """Add class probabilities, labels and the base rate known beforehand; chances of what is refused are NaN."""
    rows = test
    labels = direction_labels(rows, classifier.horizon, costs)
    chances = np.where(rows.answerable[:, None], classifier.predict(rows.features), np.nan)
    base = np.broadcast_to(classifier.base_rate, chances.shape)
    for code, symbol in enumerate(rows.symbols):
        mine = (rows.market == code) & (labels >= 0)
        if mine.any():
            found.add((symbol, classifier.horizon), chances[mine], labels[mine], base[mine], rows.open_time[mine])


def direction_report(found: Collected, stride: int) -> dict[str, Any]:
    """Cells beside the base rate of the training rows; a constant forecast has skill zero and says so."""
    cells = []
    for (symbol, horizon), (chances, labels, base, times) in found.cells().items():
        happened, answered = np.eye(3)[labels], np.isfinite(chances).all(axis=1)
        constant = metrics.brier(base, happened)
        # A refused candle counts as the base rate.
        own = np.where(answered, metrics.brier(chances, happened), constant)
        versus = compare(own, constant, times, horizon, stride)
        said, came = chances[answered], happened[answered]
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "rows": len(labels),
                "answered": 100 * float(answered.mean()),
                "shares": _shares(happened.mean(axis=0)),
                "brier": float(own.mean()),
                "log_loss": metrics.log_loss(said, came),
                "baselines": {"base_rate": float(constant.mean())},
                "skill": 100 * versus.mean / float(constant.mean()),
                "skill_error": 100 * versus.error / float(constant.mean()),
                "p_value": versus.p_value,
                "effective_n": versus.effective_n,
                "calibration_error_buy": metrics.calibration_error(said[:, 0], came[:, 0]),
                "calibration_error_sell": metrics.calibration_error(said[:, 1], came[:, 1]),
            }
        )
    return {"skill": float(np.mean([cell["skill"] for cell in cells])) / 100, "cells": cells}


def _shares(shares: Sequence[float]) -> dict[str, float]:
    return dict(zip(("buy", "sell", "hold"), map(float, shares), strict=True))
