"""Detailed scores of each cell by quantile, band, tercile and month, in columns."""

from dataclasses import asdict
from typing import Any

import numpy as np

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.bracket_calibration import expected_return
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.bands import band_table
from modelregistry.evaluation.metrics.exceedance import exceedance, miss_test
from modelregistry.evaluation.metrics.groups import PER_GROUP, probability_terciles
from modelregistry.evaluation.metrics.periods import TERCILES, daily_gain, periods, terciles
from modelregistry.evaluation.metrics.reliability import brier_parts, calibration, reliability_curve
from modelregistry.evaluation.reports.cells import losses_of
from modelregistry.evaluation.reports.report import Collected
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.evaluation.significance.diebold_mariano import diebold_mariano
from modelregistry.evaluation.significance.paired import block_error

DIGITS = 4
"""Significant digits of stored values."""
Columns = dict[str, list[Any]]


def range_detail(found: Collected, rows: Dataset, stride: int) -> dict[str, Any]:
    """Detail of a range report.

    Parameters
    ----------
    found : Collected
        From :func:`~modelregistry.evaluation.reports.report.collect_ranges`.
    rows : Dataset
        Rows that include the test rows; their volatility defines the terciles.
    stride : int
        Candles between rows.

    Returns
    -------
    dict
        `cells`, each with `levels`, `bands`, `terciles`, `periods` (tables of columns), `misses` of the 80 % band,
        `diebold_mariano` and `skill_interval` against the best baseline; and `daily_gain` over all cells.
        Losses in basis points of the close, shares and skills in percent.
    """
    cells, gains, baseline_losses, times = [], [], [], []
    for (symbol, horizon, target), columns in found.cells().items():
        quantiles, actual, stacked, when = _in_time_order(*columns)
        lost = losses_of(quantiles, actual, {name: stacked[:, i] for i, name in enumerate(found.names)})
        own, baseline, valid = lost.own, lost.best_loss, lost.valid
        cell = _RangeCell(quantiles, actual, own, baseline, valid, when)
        steps = max(int(np.ceil(horizon / stride)), 1)
        names, which = periods(when)
        skill = block_interval(baseline - own, when, baseline)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "target": target,
                "baseline": lost.best,
                "skill_interval": _rounded([100 * skill.lower, 100 * skill.upper]),
                "days": skill.days,
                "levels": _rounded(
                    {
                        **exceedance(quantiles[valid], actual[valid], when[valid]),
                        "pinball": (scores.pinball_by_level(quantiles[valid], actual[valid]) * scores.BPS).tolist(),
                    }
                ),
                "bands": _rounded(band_table(quantiles[valid], actual[valid])),
                "terciles": cell.by(terciles(_sigma(rows, symbol, when)), list(TERCILES), "tercile"),
                "periods": cell.by(which, names, "period", errors=True),
                **_tests(cell, steps),
            }
        )
        gains.append(baseline - own)
        baseline_losses.append(baseline)
        times.append(when)
    return {"cells": cells, "daily_gain": daily_gain(gains, baseline_losses, times)}


class _RangeCell:
    """Rows of one market, horizon and target, with their losses."""

    def __init__(
        self,
        quantiles: np.ndarray,
        actual: np.ndarray,
        own: np.ndarray,
        baseline: np.ndarray,
        valid: np.ndarray,
        when: np.ndarray,
    ) -> None:
        self.own, self.baseline, self.valid, self.when = own, baseline, valid, when
        self.quantiles, self.actual = quantiles, actual
        self.inside = {
            80: (actual >= quantiles[:, 1]) & (actual <= quantiles[:, 5]),
            90: (actual >= quantiles[:, 0]) & (actual <= quantiles[:, 6]),
        }
        self.width = (quantiles[:, 5] - quantiles[:, 1]) * scores.BPS

    def by(self, which: np.ndarray, names: list[str], title: str, *, errors: bool = False) -> Columns:
        """Scores of every non-empty group, in columns."""
        table: Columns = {
            name: [] for name in (title, "rows", "pinball", "baseline", "skill", "coverage_80", "coverage_90", "width")
        }
        extra: Columns = {"skill_error": [], "coverage_80_error": [], "coverage_90_error": []} if errors else {}
        levels: Columns = {} if errors else {name: [] for name in PER_GROUP}
        for code, name in enumerate(names):
            selected = which == code
            if not (selected & self.valid).any():
                continue
            baseline, kept = float(self.baseline[selected].mean()), selected & self.valid
            table[title].append(name)
            table["rows"].append(int(selected.sum()))
            table["pinball"].append(float(self.own[selected].mean()))
            table["baseline"].append(baseline)
            table["skill"].append(100 * (1 - float(self.own[selected].mean()) / baseline))
            for share, inside in self.inside.items():
                table[f"coverage_{share}"].append(100 * float(inside[kept].mean()))
                if errors:
                    extra[f"coverage_{share}_error"].append(100 * _error(inside[kept], self.when[kept]))
            table["width"].append(float(self.width[kept].mean()))
            for score, values in levels.items():
                values.append(PER_GROUP[score](self.quantiles[kept], self.actual[kept]))
            if errors:
                extra["skill_error"].append(
                    100 * _error((self.baseline - self.own)[selected], self.when[selected]) / baseline
                )
        return dict(_rounded(table | extra | levels))


def _tests(cell: _RangeCell, steps: int) -> dict[str, Any]:
    """Diebold-Mariano and coverage tests, None with too few rows."""
    result: dict[str, Any] = {"misses": None, "diebold_mariano": None}
    if len(cell.own) > 4 * steps:
        result["diebold_mariano"] = _rounded(asdict(diebold_mariano(cell.own, cell.baseline, steps)))
    if cell.valid.sum() > 4 * steps:
        result["misses"] = _rounded(asdict(miss_test(~cell.inside[80][cell.valid], 0.2, steps)))
    return result


def bracket_detail(found: Collected, costs: float) -> dict[str, Any]:
    """Detail of a bracket report: reliability, Brier decomposition, calibration, skill by period.

    Net returns are in basis points; `net` (by period) contains every bracket whose expected net return has a lower
    bound above 0, as :func:`~modelregistry.evaluation.reports.report.bracket_report` does; `daily_gain`
    is over the base rates.
    """
    cells, traded, gains, baseline_losses, times = [], [], [], [], []
    for (symbol, horizon, side, name), columns in found.cells().items():
        probabilities, outcome, near, far, middle, gross, error_margin, _, when = _in_time_order(*columns)
        happened, valid = np.eye(3)[outcome], np.isfinite(probabilities).all(axis=1)
        constant = scores.brier(np.broadcast_to(happened.mean(axis=0), happened.shape), happened)
        gains.append(np.where(valid, constant - scores.brier(probabilities, happened), 0.0))
        baseline_losses.append(constant)
        times.append(when)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "side": side,
                "bracket": name,
                "brier_parts": _rounded(asdict(brier_parts(probabilities[valid], happened[valid]))),
                "calibration": _rounded(asdict(calibration(*_first(probabilities, happened, valid), when[valid]))),
                "take_profit": _rounded(reliability_curve(*_first(probabilities, happened, valid), when[valid])),
                # The bracket is a multiple of the volatility, so its width gives the volatility tercile.
                "terciles": _rounded(probability_terciles(probabilities, happened, valid, terciles(near))),
                "periods": _skill_by_period(gains[-1], constant, when),
            }
        )
        expected = expected_return(probabilities, near, far, middle) - costs
        acted = expected - error_margin > 0
        traded.append((when[acted], expected[acted], gross[acted] - costs))
    net = _net(*(np.concatenate(column) for column in zip(*traded, strict=True)))
    return {"cells": cells, "net": net, "daily_gain": daily_gain(gains, baseline_losses, times)}


def _first(probabilities: np.ndarray, happened: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability and outcome of the first class on some rows."""
    return probabilities[rows, 0], happened[rows, 0]


def _net(when: np.ndarray, expected: np.ndarray, net: np.ndarray) -> Columns:
    table: Columns = {name: [] for name in ("period", "trades", "expected", "realised", "error")}
    names, which = periods(when)
    for code, name in enumerate(names):
        selected = which == code
        table["period"].append(name)
        table["trades"].append(int(selected.sum()))
        table["expected"].append(float(expected[selected].mean()) * scores.BPS)
        table["realised"].append(float(net[selected].mean()) * scores.BPS)
        table["error"].append(_error(net[selected], when[selected]) * scores.BPS)
    return dict(_rounded(table))


def direction_detail(found: Collected, rows: Dataset) -> dict[str, Any]:
    """Detail of a direction report: reliability, Brier decomposition, terciles, skill by period."""
    cells, gains, baseline_losses, times = [], [], [], []
    for (symbol, horizon), columns in found.cells().items():
        probabilities, labels, base, when = _in_time_order(*columns)
        happened = np.eye(3)[labels]
        valid, constant = np.isfinite(probabilities).all(axis=1), scores.brier(base, happened)
        own = np.where(valid, scores.brier(probabilities, happened), constant)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "brier_parts": _rounded(asdict(brier_parts(probabilities[valid], happened[valid]))),
                "buy": _rounded(reliability_curve(*_first(probabilities, happened, valid), when[valid])),
                "sell": _rounded(reliability_curve(*_first(probabilities[:, 1:], happened[:, 1:], valid), when[valid])),
                "calibration_buy": _line(probabilities[:, 0], happened[:, 0], valid),
                "calibration_sell": _line(probabilities[:, 1], happened[:, 1], valid),
                "terciles": _rounded(
                    probability_terciles(probabilities, happened, valid, terciles(_sigma(rows, symbol, when)))
                ),
                "periods": _skill_by_period(constant - own, constant, when),
            }
        )
        gains.append(constant - own)
        baseline_losses.append(constant)
        times.append(when)
    return {"cells": cells, "daily_gain": daily_gain(gains, baseline_losses, times)}


def _skill_by_period(gain: np.ndarray, baseline: np.ndarray, when: np.ndarray) -> Columns:
    """Skill in percent by month or week, with block errors."""
    table: Columns = {"period": [], "skill": [], "skill_error": []}
    names, which = periods(when)
    for code, name in enumerate(names):
        selected = which == code
        table["period"].append(name)
        table["skill"].append(100 * float(gain[selected].mean() / baseline[selected].mean()))
        table["skill_error"].append(100 * _error(gain[selected], when[selected]) / float(baseline[selected].mean()))
    return dict(_rounded(table))


def _line(probabilities: np.ndarray, happened: np.ndarray, valid: np.ndarray) -> dict[str, Any]:
    intercept, slope = scores.calibration_line(probabilities[valid], happened[valid])
    return dict(_rounded({"intercept": intercept, "slope": slope}))


def _in_time_order(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sort columns of a cell by the last of them, the open time."""
    order = np.argsort(columns[-1], kind="stable")
    return tuple(column[order] for column in columns)


def _error(values: np.ndarray, when: np.ndarray) -> float:
    return block_error(np.asarray(values, dtype=np.float64), when)


def _sigma(rows: Dataset, symbol: str, when: np.ndarray) -> np.ndarray:
    """Volatility at the given times of one market, NaN where `rows` has none."""
    selected = np.flatnonzero(rows.market == rows.symbols.index(symbol))
    selected = selected[np.argsort(rows.open_time[selected], kind="stable")]
    if not len(selected):
        return np.full(len(when), np.nan)
    at = np.minimum(np.searchsorted(rows.open_time[selected], when), len(selected) - 1)
    return np.where(rows.open_time[selected][at] == when, rows.sigma[selected][at], np.nan)


def _rounded(value: Any) -> Any:
    """Round to :data:`DIGITS` significant digits; non-finite values become None."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
