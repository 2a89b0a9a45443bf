"""Detail of reports, from forecasts with a known truth."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from modelregistry.estimators.forecast import LEVELS
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.periods import daily_gain, periods, terciles
from modelregistry.evaluation.reports.detail import bracket_detail, direction_detail, range_detail
from modelregistry.evaluation.reports.report import (
    BASELINE_NAMES,
    Collected,
    bracket_report,
    direction_report,
    range_report,
)
from modelregistry.training.kinds import TRAINING_KINDS

FIRST = 1_730_419_200_000  # 2024-11-01
HOUR = 3_600_000
UNIT = -np.log(1 - np.array(LEVELS))


def ranges(days=120, seed=1, sharp=True):
    """Hourly outcomes with known volatility; a sharp forecast uses it, the baselines do not."""
    rng = np.random.default_rng(seed)
    rows = days * 24
    when = FIRST + np.arange(rows) * HOUR
    sigma = 0.001 * np.exp(0.5 * rng.normal(size=rows))
    actual = sigma * rng.exponential(size=rows)
    forecasts = (sigma if sharp else np.full(rows, 0.00113))[:, None] * UNIT
    flat = np.full((rows, 1), 0.00113) * UNIT
    others = [flat * (1.0 + 0.05 * i) for i in range(len(BASELINE_NAMES))]
    stacked = np.stack([scores.pinball(other, actual) * scores.BPS for other in others], axis=1)
    found = Collected()
    half = rows // 2
    for part in (slice(half, None), slice(None, half)):  # folds may come in any order
        found.add(("BTCUSDT", 12, "high"), forecasts[part], actual[part], stacked[part], when[part])
    table = SimpleNamespace(symbols=("BTCUSDT",), market=np.zeros(rows, dtype=int), open_time=when, sigma=sigma)
    return found, table


def test_months_are_named_by_the_calendar_and_short_stretches_by_weeks():
    when = FIRST + np.arange(150) * 24 * HOUR
    names, which = periods(when)
    assert names == ["2024-11", "2024-12", "2025-01", "2025-02", "2025-03"]
    assert np.bincount(which).tolist() == [30, 31, 31, 28, 30]
    names, which = periods(when[:12])
    assert names == ["2024-10-28", "2024-11-04", "2024-11-11"]
    assert np.bincount(which).tolist() == [3, 7, 2]


def test_terciles_are_thirds_and_leave_out_what_is_unknown():
    sigma = np.random.default_rng(2).exponential(size=300)
    sigma[:30] = np.nan
    found = terciles(sigma)
    assert (found[:30] == -1).all()
    assert np.bincount(found[30:]).tolist() == [90, 90, 90]
    assert sigma[found == 0].max() < sigma[found == 2].min()
    assert (terciles(np.full(4, np.nan)) == -1).all()


def test_the_daily_gain_averages_cells_and_never_pools_them():
    day = np.array([0, 0, 86_400_000])
    small, large = np.full(3, 1.0), np.full(3, 100.0)
    found = daily_gain([0.1 * small, 0.3 * large], [small, large], [day, day])
    assert found == {"1970-01-01": pytest.approx(0.2), "1970-01-02": pytest.approx(0.2)}


def test_the_detail_of_a_sharp_range_forecast():
    found, rows = ranges()
    report, detail = range_report(found, 12), range_detail(found, rows, 12)
    cell, whole = detail["cells"][0], report["cells"][0]
    assert cell["baseline"] == whole["best_baseline"] == BASELINE_NAMES[0]
    low, high = cell["skill_interval"]
    assert low < whole["skill"] < high
    assert np.allclose(cell["levels"]["below"], 100 * np.array(LEVELS), atol=3)
    assert cell["bands"]["inside"][1] == pytest.approx(whole["coverage_80"], abs=0.01)
    assert cell["bands"]["score"][1] == pytest.approx(whole["interval_score_bps"], rel=1e-3)
    assert cell["terciles"]["tercile"] == ["calm", "middle", "wild"]
    assert cell["terciles"]["rows"] == [960, 960, 960]
    assert np.allclose(cell["terciles"]["coverage_80"], 80, atol=5)
    assert np.mean(cell["levels"]["pinball"]) == pytest.approx(whole["pinball"], rel=1e-3)
    table = cell["terciles"]
    for level in ("05", "10", "25", "50", "75", "90", "95"):
        assert np.allclose(table[f"below_{level}"], float(level), atol=6)
    by_level = [np.mean(table[f"pinball_{level}"]) for level in ("05", "10", "25", "50", "75", "90", "95")]
    assert np.mean(by_level) == pytest.approx(whole["pinball"], rel=1e-3)
    assert table["median_error"][0] < table["median_error"][2]
    assert table["interval_score_80"][0] < table["interval_score_90"][0]
    assert np.mean(table["bias"]) == pytest.approx(whole["bias_bps"], rel=1e-2)
    assert np.average(cell["periods"]["pinball"], weights=cell["periods"]["rows"]) == pytest.approx(
        whole["pinball"], rel=1e-3
    )
    assert cell["periods"]["period"] == ["2024-11", "2024-12", "2025-01", "2025-02"]
    assert all(error > 0 for error in cell["periods"]["coverage_80_error"])
    assert cell["misses"]["p_independent"] > 0.01
    assert cell["diebold_mariano"]["p_better"] < 1e-6
    gains = np.array(list(detail["daily_gain"].values()))
    assert len(gains) == 120
    assert 100 * gains.mean() == pytest.approx(whole["skill"], rel=0.01)
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail


def test_only_terciles_show_a_forecast_without_volatility():
    found, rows = ranges(sharp=False)
    cell = range_detail(found, rows, 12)["cells"][0]
    calm, _, wild = cell["terciles"]["coverage_90"]
    assert abs(cell["bands"]["inside"][2] - 90) < 6
    assert wild < 85
    assert cell["terciles"]["skill"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert calm != wild


def test_refused_rows_count_as_the_baseline_and_a_wholly_refused_month_is_left_out():
    found, rows = ranges()
    columns = found.cells()[("BTCUSDT", 12, "high")]
    forecasts = columns[0].copy()
    forecasts[columns[3] < FIRST + 30 * 24 * HOUR] = np.nan
    refused = Collected()
    refused.add(("BTCUSDT", 12, "high"), forecasts, *columns[1:])
    cell = range_detail(refused, rows, 12)["cells"][0]
    assert cell["periods"]["period"] == ["2024-12", "2025-01", "2025-02"]
    whole = range_detail(found, rows, 12)["cells"][0]
    assert cell["skill_interval"][1] < whole["skill_interval"][1]


def brackets(seed=3, overconfidence=1.0):
    rng = np.random.default_rng(seed)
    rows = 24 * 120
    when = FIRST + np.arange(rows) * HOUR
    true = np.column_stack([rng.beta(4, 6, rows), np.zeros(rows), np.zeros(rows)])
    true[:, 1] = 0.6 * (1 - true[:, 0])
    true[:, 2] = 1 - true[:, 0] - true[:, 1]
    outcome = (rng.random(rows)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    odds = overconfidence * np.log(true[:, 0] / (1 - true[:, 0]))
    forecasts = true.copy()
    forecasts[:, 0] = 1 / (1 + np.exp(-odds))
    forecasts[:, 1:] *= ((1 - forecasts[:, 0]) / (1 - true[:, 0]))[:, None]
    near = far = np.full(rows, 0.01)
    gross = np.select([outcome == 0, outcome == 1], [near, -far], 0.0)
    found = Collected()
    nothing = np.zeros(rows)
    found.add(("BTCUSDT", 12, "buy", "1x1"), forecasts, outcome, near, far, nothing, gross, nothing, nothing, when)
    return found


def test_the_detail_of_brackets_shows_overconfidence_and_sums_trades():
    honest, bold = bracket_detail(brackets(), 0.001), bracket_detail(brackets(overconfidence=2.0), 0.001)
    line = honest["cells"][0]["calibration"]
    assert abs(line["slope"] - 1) < 3 * line["slope_error"]
    assert bold["cells"][0]["calibration"]["slope"] == pytest.approx(line["slope"] / 2, abs=0.02)
    assert bold["cells"][0]["brier_parts"]["reliability"] > 3 * honest["cells"][0]["brier_parts"]["reliability"]
    report = bracket_report(brackets(), 0.001, 12)
    assert sum(honest["net"]["trades"]) == report["net"]["trades"]
    realised = np.average(honest["net"]["realised"], weights=honest["net"]["trades"])
    assert realised == pytest.approx(report["net"]["realised_bps"], rel=1e-3)
    assert len(honest["cells"][0]["take_profit"]["forecast"]) == 10


def test_probabilities_are_scored_in_calm_and_in_wild_markets():
    found = brackets()
    ((key, columns),) = found.cells().items()
    near = np.random.default_rng(8).uniform(0.005, 0.02, len(columns[1]))
    varied = Collected()
    varied.add(key, *columns[:2], near, *columns[3:])
    table = bracket_detail(varied, 0.001)["cells"][0]["terciles"]
    assert table["tercile"] == ["calm", "middle", "wild"]
    assert sum(table["rows"]) == len(near)
    whole = bracket_report(varied, 0.001, 12)["cells"][0]
    assert np.average(table["brier"], weights=table["rows"]) == pytest.approx(whole["brier"], rel=1e-3)
    assert np.average(table["log_loss"], weights=table["rows"]) == pytest.approx(whole["log_loss"], rel=1e-3)
    assert np.allclose(table["calibration_slope"], 1, atol=0.4)
    assert {"reliability", "resolution", "uncertainty", "calibration_intercept"} <= set(table)


def test_refused_probabilities_count_as_the_better_baseline_and_are_counted():
    found = brackets()
    ((key, columns),) = found.cells().items()
    half = np.arange(len(columns[1])) % 2 == 0
    forecasts = np.where(half[:, None], np.nan, columns[0])
    refused = Collected()
    refused.add(key, forecasts, *columns[1:])
    whole, cell = (bracket_report(one, 0.001, 12)["cells"][0] for one in (found, refused))
    assert (whole["answered"], cell["answered"]) == (100.0, pytest.approx(50.0))
    assert 0 < cell["skill"] < whole["skill"]
    detail = bracket_detail(refused, 0.001)
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail
    rng = np.random.default_rng(4)
    labels = rng.choice(3, 2400, p=[0.3, 0.3, 0.4])
    base = np.tile([0.3, 0.3, 0.4], (2400, 1))
    bold = 0.5 * base + 0.5 * np.eye(3)[labels]
    directions = Collected()
    directions.add(
        ("BTCUSDT", 72), np.where(half[:2400, None], np.nan, bold), labels, base, FIRST + np.arange(2400) * HOUR
    )
    scored = direction_report(directions, 12)["cells"][0]
    assert scored["answered"] == pytest.approx(50.0)
    assert 30 < scored["skill"] < 45
    assert direction_detail(directions, ranges()[1])["cells"][0]["calibration_buy"]["slope"] > 1


def test_no_trade_at_all_leaves_an_empty_table():
    assert bracket_detail(brackets(), 1.0)["net"]["period"] == []


def test_the_detail_of_a_constant_direction_has_no_skill():
    rng = np.random.default_rng(4)
    labels = rng.choice(3, 2400, p=[0.3, 0.3, 0.4])
    base = np.tile([0.3, 0.3, 0.4], (2400, 1))
    found = Collected()
    found.add(("BTCUSDT", 72), base, labels, base, FIRST + np.arange(2400) * HOUR)
    detail = direction_detail(found, ranges()[1])
    assert detail["cells"][0]["periods"]["skill"] == pytest.approx([0.0] * 15)
    assert detail["cells"][0]["buy"]["rows"] == [2400]
    assert set(detail["daily_gain"].values()) == {0.0}


def test_directions_are_scored_in_calm_and_in_wild_markets():
    """A constant forecast is calibrated on average, and overestimates moves at low volatility."""
    rows = ranges()[1]
    rng = np.random.default_rng(5)
    touch = np.interp(np.argsort(np.argsort(rows.sigma)), [0, len(rows.sigma)], [0.1, 0.9])
    up, moved = rng.random(len(touch)) < 0.5, rng.random(len(touch)) < touch
    labels = np.where(moved, np.where(up, 0, 1), 2)
    found = Collected()
    constant = np.tile([0.25, 0.25, 0.5], (len(touch), 1))
    found.add(("BTCUSDT", 72), constant, labels, constant, rows.open_time)
    table = direction_detail(found, rows)["cells"][0]["terciles"]
    assert table["tercile"] == ["calm", "middle", "wild"]
    assert sum(table["rows"]) == len(touch)
    assert table["reliability"][1] < 0.01 < min(table["reliability"][0], table["reliability"][2])


@pytest.mark.parametrize("kind", ["range_predictor", "tpsl_classifier", "signal_classifier"])
def test_no_rows_no_detail(kind):
    assert TRAINING_KINDS[kind].detail_of(Collected(), ranges()[1], stride=1, costs=0.0) == {"cells": []}
