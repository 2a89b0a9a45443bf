"""What a report's means hide: every quantile, band, tercile and month of each cell, in columns for plots and tables."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from modelregistry.evaluation import metrics
from modelregistry.evaluation.bands import band_table
from modelregistry.evaluation.blocks import block_interval
from modelregistry.evaluation.cells import losses_of
from modelregistry.evaluation.diebold_mariano import diebold_mariano
from modelregistry.evaluation.exceedance import exceedance, miss_test
from modelregistry.evaluation.groups import PER_GROUP, probability_terciles
from modelregistry.evaluation.paired import block_error
from modelregistry.evaluation.periods import TERCILES, daily_gain, periods, terciles
from modelregistry.evaluation.reliability import brier_parts, calibration, reliability_curve
from modelregistry.evaluation.report import Collected, expected_return
from modelregistry.training.dataset import Dataset

DIGITS = 4
"""Significant digits kept: a report is read, and stored with every version."""
Columns = dict[str, list[Any]]


def range_detail(found: Collected, rows: Dataset, stride: int) -> dict[str, Any]:
    """Look into the cells of a range report.

    Parameters
    ----------
    found : Collected
        What :func:`~modelregistry.evaluation.report.collect_ranges` gathered.
    rows : Dataset
        Rows that include those tested: their volatility sorts them into terciles.
    stride : int
        Candles between rows.

    Returns
    -------
    dict
        `cells`, each with `levels`, `bands`, `terciles`, `periods` (tables of columns), `misses` of the 80 % band,
        `diebold_mariano` and `skill_interval` against the best free baseline; and `daily_gain` over all cells.
        Losses in basis points of the close, shares and skills in percent.
    """
    cells, gains, floors, times = [], [], [], []
    for (symbol, horizon, target), columns in found.cells().items():
        said, ahead, stacked, when = _in_time_order(*columns)
        lost = losses_of(said, ahead, {name: stacked[:, i] for i, name in enumerate(found.names)})
        own, floor, answered = lost.own, lost.floor, lost.answered
        cell = _RangeCell(said, ahead, own, floor, answered, when)
        steps = max(int(np.ceil(horizon / stride)), 1)
        names, which = periods(when)
        skill = block_interval(floor - own, when, floor)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "target": target,
                "baseline": lost.best,
                "skill_interval": _short([100 * skill.lower, 100 * skill.upper]),
                "days": skill.days,
                "levels": _short(
                    {
                        **exceedance(said[answered], ahead[answered], when[answered]),
                        "pinball": (metrics.pinball_by_level(said[answered], ahead[answered]) * metrics.BPS).tolist(),
                    }
                ),
                "bands": _short(band_table(said[answered], ahead[answered])),
                "terciles": cell.by(terciles(_sigma(rows, symbol, when)), list(TERCILES), "tercile"),
                "periods": cell.by(which, names, "period", errors=True),
                **_tests(cell, steps),
            }
        )
        gains.append(floor - own)
        floors.append(floor)
        times.append(when)
    return {"cells": cells, "daily_gain": daily_gain(gains, floors, times)}


class _RangeCell:
    """Rows of one market, horizon and target."""

    def __init__(
        self,
        said: np.ndarray,
        ahead: np.ndarray,
        own: np.ndarray,
        floor: np.ndarray,
        answered: np.ndarray,
        when: np.ndarray,
    ) -> None:
        self.own, self.floor, self.answered, self.when = own, floor, answered, when
        self.said, self.ahead = said, ahead
        self.inside = {
            80: (ahead >= said[:, 1]) & (ahead <= said[:, 5]),
            90: (ahead >= said[:, 0]) & (ahead <= said[:, 6]),
        }
        self.width = (said[:, 5] - said[:, 1]) * metrics.BPS

    def by(self, which: np.ndarray, names: list[str], title: str, *, errors: bool = False) -> Columns:
        """Scores of every group that has rows, in columns."""
        table: Columns = {
            name: [] for name in (title, "rows", "pinball", "baseline", "skill", "coverage_80", "coverage_90", "width")
        }
        extra: Columns = {"skill_error": [], "coverage_80_error": [], "coverage_90_error": []} if errors else {}
        levels: Columns = {} if errors else {name: [] for name in PER_GROUP}
        for code, name in enumerate(names):
            mine = which == code
            if not (mine & self.answered).any():
                continue
            floor, kept = float(self.floor[mine].mean()), mine & self.answered
            table[title].append(name)
            table["rows"].append(int(mine.sum()))
            table["pinball"].append(float(self.own[mine].mean()))
            table["baseline"].append(floor)
            table["skill"].append(100 * (1 - float(self.own[mine].mean()) / floor))
            for share, inside in self.inside.items():
                table[f"coverage_{share}"].append(100 * float(inside[kept].mean()))
                if errors:
                    extra[f"coverage_{share}_error"].append(100 * _error(inside[kept], self.when[kept]))
            table["width"].append(float(self.width[kept].mean()))
            for score, values in levels.items():
                values.append(PER_GROUP[score](self.said[kept], self.ahead[kept]))
            if errors:
                extra["skill_error"].append(100 * _error((self.floor - self.own)[mine], self.when[mine]) / floor)
        return dict(_short(table | extra | levels))


def _tests(cell: _RangeCell, steps: int) -> dict[str, Any]:
    """Tests that need more rows than a horizon has steps."""
    answer: dict[str, Any] = {"misses": None, "diebold_mariano": None}
    if len(cell.own) > 4 * steps:
        answer["diebold_mariano"] = _short(asdict(diebold_mariano(cell.own, cell.floor, steps)))
    if cell.answered.sum() > 4 * steps:
        answer["misses"] = _short(asdict(miss_test(~cell.inside[80][cell.answered], 0.2, steps)))
    return answer


def bracket_detail(found: Collected, costs: float) -> dict[str, Any]:
    """Look into the cells of a bracket report: reliability, Brier in parts, calibration with errors, skill by period.

    Probabilities as they are, net returns in basis points; `net`, by period too, gathers every bracket whose expected
    net return had a lower bound above 0, as :func:`~modelregistry.evaluation.report.bracket_report` does; `daily_gain`
    is over the base rates.
    """
    cells, traded, gains, floors, times = [], [], [], [], []
    for (symbol, horizon, side, name), columns in found.cells().items():
        chances, outcome, near, far, middle, gross, doubt, _, when = _in_time_order(*columns)
        happened, answered = np.eye(3)[outcome], np.isfinite(chances).all(axis=1)
        constant = metrics.brier(np.broadcast_to(happened.mean(axis=0), happened.shape), happened)
        gains.append(np.where(answered, constant - metrics.brier(chances, happened), 0.0))
        floors.append(constant)
        times.append(when)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "side": side,
                "bracket": name,
                "brier_parts": _short(asdict(brier_parts(chances[answered], happened[answered]))),
                "calibration": _short(asdict(calibration(*_first(chances, happened, answered), when[answered]))),
                "take_profit": _short(reliability_curve(*_first(chances, happened, answered), when[answered])),
                # The bracket is a multiple of the volatility, so its width tells calm from wild.
                "terciles": _short(probability_terciles(chances, happened, answered, terciles(near))),
                "periods": _skill_by_period(gains[-1], constant, when),
            }
        )
        hope = expected_return(chances, near, far, middle, costs)
        acted = hope - doubt > 0
        traded.append((when[acted], hope[acted], gross[acted] - costs))
    net = _net(*(np.concatenate(column) for column in zip(*traded, strict=True)))
    return {"cells": cells, "net": net, "daily_gain": daily_gain(gains, floors, times)}


def _first(chances: np.ndarray, happened: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chance and outcome of the first class on some rows."""
    return chances[rows, 0], happened[rows, 0]


def _net(when: np.ndarray, hope: np.ndarray, net: np.ndarray) -> Columns:
    table: Columns = {name: [] for name in ("period", "trades", "expected", "realised", "error")}
    names, which = periods(when)
    for code, name in enumerate(names):
        mine = which == code
        table["period"].append(name)
        table["trades"].append(int(mine.sum()))
        table["expected"].append(float(hope[mine].mean()) * metrics.BPS)
        table["realised"].append(float(net[mine].mean()) * metrics.BPS)
        table["error"].append(_error(net[mine], when[mine]) * metrics.BPS)
    return dict(_short(table))


def direction_detail(found: Collected, rows: Dataset) -> dict[str, Any]:
    """Look into the cells of a direction report: reliability, Brier in parts, terciles, skill by period."""
    cells, gains, floors, times = [], [], [], []
    for (symbol, horizon), columns in found.cells().items():
        chances, labels, base, when = _in_time_order(*columns)
        happened = np.eye(3)[labels]
        answered, constant = np.isfinite(chances).all(axis=1), metrics.brier(base, happened)
        own = np.where(answered, metrics.brier(chances, happened), constant)
        cells.append(
            {
                "symbol": symbol,
                "horizon": horizon,
                "brier_parts": _short(asdict(brier_parts(chances[answered], happened[answered]))),
                "buy": _short(reliability_curve(*_first(chances, happened, answered), when[answered])),
                "sell": _short(reliability_curve(*_first(chances[:, 1:], happened[:, 1:], answered), when[answered])),
                "calibration_buy": _line(chances[:, 0], happened[:, 0], answered),
                "calibration_sell": _line(chances[:, 1], happened[:, 1], answered),
                "terciles": _short(
                    probability_terciles(chances, happened, answered, terciles(_sigma(rows, symbol, when)))
                ),
                "periods": _skill_by_period(constant - own, constant, when),
            }
        )
        gains.append(constant - own)
        floors.append(constant)
        times.append(when)
    return {"cells": cells, "daily_gain": daily_gain(gains, floors, times)}


def _skill_by_period(gain: np.ndarray, floor: np.ndarray, when: np.ndarray) -> Columns:
    """Percent of a baseline's loss saved in each month or week, with block errors."""
    table: Columns = {"period": [], "skill": [], "skill_error": []}
    names, which = periods(when)
    for code, name in enumerate(names):
        mine = which == code
        table["period"].append(name)
        table["skill"].append(100 * float(gain[mine].mean() / floor[mine].mean()))
        table["skill_error"].append(100 * _error(gain[mine], when[mine]) / float(floor[mine].mean()))
    return dict(_short(table))


def _line(chances: np.ndarray, happened: np.ndarray, answered: np.ndarray) -> dict[str, Any]:
    intercept, slope = metrics.calibration_line(chances[answered], happened[answered])
    return dict(_short({"intercept": intercept, "slope": slope}))


def detail_of(kind: str, found: Collected, rows: Dataset, *, stride: int, costs: float) -> dict[str, Any]:
    """Detail of any kind of report; a report without a row has none."""
    if not found.parts:
        return {"cells": []}
    looks: Mapping[str, Callable[[], dict[str, Any]]] = {
        "range_predictor": lambda: range_detail(found, rows, stride),
        "tpsl_classifier": lambda: bracket_detail(found, costs),
        "signal_classifier": lambda: direction_detail(found, rows),
    }
    return looks[kind]()


def _in_time_order(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sort columns of a cell by the last of them, the open time."""
    order = np.argsort(columns[-1], kind="stable")
    return tuple(column[order] for column in columns)


def _error(values: np.ndarray, when: np.ndarray) -> float:
    return block_error(np.asarray(values, dtype=np.float64), when)


def _sigma(rows: Dataset, symbol: str, when: np.ndarray) -> np.ndarray:
    """Volatility at the given times of one market, NaN where `rows` has none."""
    mine = np.flatnonzero(rows.market == rows.symbols.index(symbol))
    mine = mine[np.argsort(rows.open_time[mine], kind="stable")]
    if not len(mine):
        return np.full(len(when), np.nan)
    at = np.minimum(np.searchsorted(rows.open_time[mine], when), len(mine) - 1)
    return np.where(rows.open_time[mine][at] == when, rows.sigma[mine][at], np.nan)


def _short(value: Any) -> Any:
    """Round to :data:`DIGITS` significant digits; what is not finite becomes None."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value
