"""Scores of a version on test rows beside reference baselines: the numbers of its report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indicators.barriers import Side, Touch
from modelregistry.dataset.outcomes import bracket_levels, direction_labels, window_outcomes
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.bracket_calibration import expected_return
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.scale import LinearScale
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.evaluation.baselines.regressions import NAMES
from modelregistry.evaluation.metrics import scores, strategies
from modelregistry.evaluation.metrics.coverage import coverage_summary
from modelregistry.evaluation.reports.cells import CORRECTED, TARGETS, bracket_cell, losses_of, mean_of, range_cell
from modelregistry.evaluation.reports.correction import correction_report
from modelregistry.evaluation.reports.reference_baselines import ReferenceForecasts
from modelregistry.evaluation.reports.served import served_forecast, uncorrected_forecast
from modelregistry.evaluation.significance.paired import block_error, compare, count_days
from modelregistry.evaluation.significance.pooled import CellLosses, pooled_skill

GRID: dict[str, tuple[float, float]] = {"1x1": (1.0, 1.0), "1.5x0.75": (1.5, 0.75), "0.75x1.5": (0.75, 1.5)}
"""Scoring grid: take-profit and stop-loss in units of EWM sigma times the root of the horizon."""
SIDES: tuple[Side, ...] = ("buy", "sell")
Key = tuple[Any, ...]
BASELINE_NAMES = tuple(sorted((*NAMES, "ridge")))


@dataclass
class Collected:
    """Arrays of one kind by cell, collected over folds."""

    parts: dict[Key, list[tuple[np.ndarray, ...]]] = field(default_factory=dict)
    uncorrected: "Collected | None" = None
    """The same cells without the online correction, if there is one."""
    names: tuple[str, ...] = BASELINE_NAMES
    """Names of the baselines whose losses are in range cells, in order."""

    def add(self, key: Key, *arrays: np.ndarray) -> None:
        """Add the arrays of a cell from one fold."""
        self.parts.setdefault(key, []).append(arrays)

    def cells(self) -> dict[Key, tuple[np.ndarray, ...]]:
        """Arrays of every cell, concatenated in the order of the folds."""
        joined = {}
        for key, kept in self.parts.items():
            joined[key] = tuple(np.concatenate(column) for column in zip(*kept, strict=True))
        return joined

    def without_correction(self) -> "Collected":
        """The same rows with uncorrected forecasts and uncorrected baselines."""
        raw = self.uncorrected.parts if self.uncorrected is not None else {}
        return Collected(
            {
                key: [
                    (*quantiles, *columns[len(quantiles) :])
                    for quantiles, columns in zip(raw.get(key, [()] * len(kept)), kept, strict=True)
                ]
                for key, kept in self.parts.items()
            },
            names=tuple(name for name in self.names if not name.endswith(CORRECTED)),
        )


def collect_ranges(
    found: Collected, predictor: RangePredictor, test: Dataset, train: Dataset, linear: LinearScale
) -> None:
    """Add forecasts of `test` as served, and losses of the baselines fitted on `train`."""
    has_features = test.has_features
    rows = test.take(np.flatnonzero(has_features))
    forecast, raw = served_forecast(predictor, rows), uncorrected_forecast(predictor, rows)
    if raw is not None and found.uncorrected is None:
        found.uncorrected = Collected()
    reference = ReferenceForecasts(train, test, linear, getattr(predictor, "correction", NO_CORRECTION))
    for k, horizon in enumerate(test.horizons):
        own = _distances(forecast, horizon, rows.close)
        bare = _distances(raw, horizon, rows.close) if raw is not None else None
        for code, symbol in enumerate(test.symbols):
            selected = test.market == code
            if not selected.any():
                continue
            for side, target in enumerate(TARGETS):
                actual = np.expm1(test.up[:, k]) if side == 0 else -np.expm1(-test.down[:, k])
                quantiles = np.full((len(test), len(LEVELS)), np.nan)
                quantiles[has_features] = own[side]
                losses = reference.losses(k, code, side)
                # Corrected baselines last: they are dropped when the candidate is not corrected.
                found.names = tuple(sorted(losses, key=lambda name: (name.endswith(CORRECTED), name)))
                stacked = np.stack([losses[name] for name in found.names], axis=1)
                found.add(
                    (symbol, horizon, target), quantiles[selected], actual[selected], stacked, test.open_time[selected]
                )
                if bare is not None and found.uncorrected is not None:
                    quantiles[has_features] = bare[side]
                    found.uncorrected.add((symbol, horizon, target), quantiles[selected])


def _distances(forecast: RangeForecast, horizon: int, close: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of the distances to high and low, as fractions of the close."""
    at = forecast.at(horizon)
    return forecast.high[:, at] / close[:, None] - 1.0, 1.0 - forecast.low[:, at, ::-1] / close[:, None]


def range_report(found: Collected, stride: int) -> dict[str, Any]:
    """Scores of the cells and their means.

    `skill` is 1 - loss / loss of the best baseline.
    """
    cells: list[dict[str, Any]] = []
    lost: dict[int, list[CellLosses]] = {}
    for (symbol, horizon, target), (quantiles, actual, stacked, times) in found.cells().items():
        order = np.argsort(times, kind="stable")
        beside = losses_of(
            quantiles[order], actual[order], {name: stacked[order, i] for i, name in enumerate(found.names)}
        )
        cell = range_cell(quantiles[order], actual[order], beside, times[order], horizon, stride)
        cells.append({"symbol": symbol, "horizon": horizon, "target": target, **cell})
        lost.setdefault(horizon, []).append(CellLosses(beside.own, beside.best_loss, times[order]))
    means = ("skill_over_ewm", "coverage_80", "coverage_90", "answered")
    by_horizon = [
        {
            "horizon": horizon,
            **pooled_skill(selected, horizon, stride),
            **{name: mean_of([cell for cell in cells if cell["horizon"] == horizon], name) for name in means},
        }
        for horizon, selected in sorted(lost.items())
    ]
    return {
        "skill": float(np.mean([cell["skill"] for cell in cells])) / 100,
        "horizons": by_horizon,
        "coverage": coverage_summary(cells),
        "cells": cells,
        **({"correction": correction_report(found.cells(), found.uncorrected.cells())} if found.uncorrected else {}),
    }


BRACKET_COLUMNS = ("probabilities", "outcome", "near", "far", "middle", "gross", "error_margin", "trend", "when")
"""Columns of a bracket cell: three probabilities; outcome; distances to take-profit and stop-loss; expected mean return
given neither; realised return; margin of error of the expected return (one-sided 95 %); sign of the last return over
the horizon; open time."""


def collect_brackets(found: Collected, classifier: TpslClassifier, test: Dataset) -> None:
    """Add probabilities and outcomes of the scoring grid; refused rows have NaN probabilities."""
    rows, valid = test, test.has_features
    view = classifier.view(rows.inputs)
    for horizon in classifier.horizons:
        earlier = rows.grid.close[rows.market, np.maximum(rows.position - horizon, 0)]
        trend = np.sign(rows.close - earlier)
        for side in SIDES:
            error = strategies.Z * view.standard_error(horizon, side)
            for name, shape in GRID.items():
                take_profit, stop_loss = bracket_levels(rows, horizon, side, shape)
                probabilities, middle = (
                    np.where(valid.reshape(-1, *[1] * (part.ndim - 1)), part, np.nan)
                    for part in view.ends(horizon, side, take_profit, stop_loss)
                )
                outcome, gross = window_outcomes(rows, horizon, side, take_profit, stop_loss)
                near, far = np.abs(take_profit / rows.close - 1), np.abs(stop_loss / rows.close - 1)
                for code, symbol in enumerate(rows.symbols):
                    selected = (rows.market == code) & (outcome >= 0) & (outcome <= Touch.NEITHER)
                    if selected.any():
                        error_margin = error * (near + far)
                        kept = (probabilities, outcome, near, far, middle, gross, error_margin, trend, rows.open_time)
                        found.add((symbol, horizon, side, name), *(column[selected] for column in kept))


def bracket_report(found: Collected, costs: float, stride: int) -> dict[str, Any]:
    """Scores of the cells, their means, and realised returns.

    `hoped` contains every bracket of the grid with an expected net return above 0, `net` those whose lower bound is
    above 0; `strategies` hold one position per market, beside strategies without a model.
    """
    cells, trades, offers = [], [], {}
    for key, kept in found.cells().items():
        column = dict(zip(BRACKET_COLUMNS, kept, strict=True))
        named = dict(zip(("symbol", "horizon", "side", "bracket"), key, strict=True))
        happened, distances = np.eye(3)[column["outcome"]], (column["near"], column["far"])
        scored = bracket_cell(column["probabilities"], happened, *distances, column["when"], named["horizon"], stride)
        cells.append({**named, **scored})
        expected = expected_return(column["probabilities"], *distances, column["middle"]) - costs
        offers[key] = {**column, "expected": expected + costs}
        trades.append((column["gross"] - costs, expected, column["when"], expected - column["error_margin"]))
    net, expected, times, lower = (np.concatenate(column) for column in zip(*trades, strict=True))
    acted = {"hoped": expected > 0, "net": lower > 0}
    return {
        "skill": float(np.mean([cell["skill"] for cell in cells])) / 100,
        "skill_1x1": float(np.mean([cell["skill"] for cell in cells if cell["bracket"] == "1x1"])),
        "worst_over_first_passage": min(cell["skill_over_first_passage"] for cell in cells),
        **{
            name: net_report(net[selected], expected[selected], times[selected], costs)
            for name, selected in acted.items()
        },
        "strategies": strategies.strategy_table(offers),
        "cells": cells,
    }


def net_report(net: np.ndarray, expected: np.ndarray, open_time: np.ndarray, costs: float) -> dict[str, Any]:
    """Net return of the selected trades in basis points, with their number and days."""
    days = count_days(open_time)
    if not len(net):
        return {"trades": 0, "days": 0, "costs_bps": costs * scores.BPS}
    order = np.argsort(open_time, kind="stable")
    return {
        "trades": len(net),
        "days": days,
        "costs_bps": costs * scores.BPS,
        "expected_bps": float(expected.mean() * scores.BPS),
        "realised_bps": float(net.mean() * scores.BPS),
        "error_bps": float(block_error(net[order], open_time[order]) * scores.BPS),
        "enough_days": days >= 30,
    }


def collect_directions(found: Collected, classifier: SignalClassifier, test: Dataset, costs: float) -> None:
    """Add class probabilities, labels and the training base rate; refused rows have NaN probabilities."""
    rows = test
    labels = direction_labels(rows, classifier.horizon, costs)
    probabilities = np.where(rows.has_features[:, None], classifier.predict(rows.features), np.nan)
    base = np.broadcast_to(classifier.base_rate, probabilities.shape)
    for code, symbol in enumerate(rows.symbols):
        selected = (rows.market == code) & (labels >= 0)
        if selected.any():
            found.add(
                (symbol, classifier.horizon),
                probabilities[selected],
                labels[selected],
                base[selected],
                rows.open_time[selected],
            )


def direction_report(found: Collected, stride: int) -> dict[str, Any]:
    """Scores beside the base rate of the training rows; a constant forecast has skill zero."""
    cells = []
    for (symbol, horizon), (probabilities, labels, base, times) in found.cells().items():
        happened, valid = np.eye(3)[labels], np.isfinite(probabilities).all(axis=1)
        constant = scores.brier(base, happened)
        # A refused candle counts as the base rate.
        own = np.where(valid, scores.brier(probabilities, happened), constant)
        versus = compare(own, constant, times, horizon, stride)
        forecast, observed = probabilities[valid], happened[valid]
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "rows": len(labels),
                "answered": 100 * float(valid.mean()),
                "shares": _shares(happened.mean(axis=0)),
                "brier": float(own.mean()),
                "log_loss": scores.log_loss(forecast, observed),
                "baselines": {"base_rate": float(constant.mean())},
                "skill": 100 * versus.mean / float(constant.mean()),
                "skill_error": 100 * versus.error / float(constant.mean()),
                "p_value": versus.p_value,
                "effective_n": versus.effective_n,
                "calibration_error_buy": scores.calibration_error(forecast[:, 0], observed[:, 0]),
                "calibration_error_sell": scores.calibration_error(forecast[:, 1], observed[:, 1]),
            }
        )
    return {"skill": float(np.mean([cell["skill"] for cell in cells])) / 100, "cells": cells}


def _shares(shares: Sequence[float]) -> dict[str, float]:
    return dict(zip(("buy", "sell", "hold"), map(float, shares), strict=True))
