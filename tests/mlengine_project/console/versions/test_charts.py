"""Numbers of the charts of a report: those of the report, with their errors; explanations for missing ones."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest

from mlengine_project.console.versions.page import compared_charts
from mlengine_project.console.versions.probability_charts import charts_of
from mlengine_project.console.versions.range_charts import BASELINES
from modelregistry.evaluation.reports.as_json import json_ready
from modelregistry.evaluation.reports.detail import bracket_detail, direction_detail, range_detail
from modelregistry.evaluation.reports.report import (
    BASELINE_NAMES,
    Collected,
    bracket_report,
    direction_report,
    range_report,
)
from modelregistry.models import ModelVersion
from tests.modelregistry.evaluation.reports.test_detail import FIRST, HOUR, brackets, ranges

KINDS = ("range_predictor", "tpsl_classifier", "signal_classifier")


def report_of(kind, *, detailed=True):
    if kind == "range_predictor":
        found, rows = ranges()
        high = found.cells()[("BTCUSDT", 12, "high")]
        for key in [("BTCUSDT", 12, "low"), ("ETHUSDT", 12, "high"), ("BTCUSDT", 36, "high")]:
            found.add(key, *high)
        rows = SimpleNamespace(**{**vars(rows), "symbols": ("BTCUSDT", "ETHUSDT")})
        report, detail = range_report(found, 12), range_detail(found, rows, 12)
    elif kind == "tpsl_classifier":
        found = brackets()
        report, detail = bracket_report(found, 0.001, 12), bracket_detail(found, 0.001)
    else:
        rng = np.random.default_rng(1)
        base = np.tile([0.3, 0.3, 0.4], (2400, 1))
        found = Collected()
        forecasts = np.clip(base + 0.05 * rng.normal(size=base.shape), 0.05, 0.9)
        forecasts /= forecasts.sum(axis=1, keepdims=True)
        labels = (rng.random(2400)[:, None] > forecasts.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        found.add(("BTCUSDT", 72), forecasts, labels, base, FIRST + np.arange(2400) * HOUR)
        report, detail = direction_report(found, 12), direction_detail(found, ranges()[1])
    return json_ready({**report, "detail": detail} if detailed else report)


def titled(charts, title):
    return next(chart for chart in charts if chart.title == title)


@pytest.mark.parametrize("detailed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_charts_are_plain_json_and_every_series_fits_its_panel(kind, detailed):
    charts = charts_of(kind, report_of(kind, detailed=detailed))
    text = json.dumps([chart.as_json() for chart in charts], allow_nan=False)
    assert "NaN" not in text
    for chart in charts:
        assert bool(chart.panels) != bool(chart.missing)
        for panel in chart.panels:
            for series in panel.series:
                size = len(series.at) if chart.form == "curves" else len(panel.categories)
                assert len(series.values) == size
                assert len(series.errors) in {0, size}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scale_holds_every_value_with_its_bar_and_every_line(kind):
    for chart in charts_of(kind, report_of(kind)):
        low, high = chart.ends
        assert all(low <= line <= high for line in chart.lines)
        for series in (series for panel in chart.panels for series in panel.series):
            for value, error in zip(series.values, series.errors or [None] * len(series.values), strict=True):
                if value is not None:
                    assert low <= value - (error or 0)
                    assert value + (error or 0) <= high


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_stays_as_it_is(kind):
    report = report_of(kind)
    kept = copy.deepcopy(report)
    assert charts_of(kind, report) == charts_of(kind, report)
    assert report == kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_detail_has_explanations(kind):
    charts = charts_of(kind, report_of(kind, detailed=False))
    for title in ("Skill over time", "Volatility terciles"):
        assert "Train a new version" in titled(charts, title).missing


def test_skill_has_two_errors_the_zero_line_and_the_independent_outcomes():
    report = report_of("range_predictor")
    chart = titled(charts_of("range_predictor", report), "Skill")
    assert chart.lines == [0.0]
    assert [panel.title.split(",")[0] for panel in chart.panels] == ["1 h", "3 h"]
    assert "independent" in chart.panels[0].title
    first = chart.panels[0]
    assert first.categories == ["BTC high", "BTC low", "ETH high"]
    cell = next(one for one in report["cells"] if (one["symbol"], one["horizon"]) == ("ETHUSDT", 12))
    assert first.series[0].values[2] == pytest.approx(cell["skill"])
    assert first.series[0].errors[2] == pytest.approx(2 * cell["skill_error"])


def test_losses_are_relative_to_the_best_baseline():
    report = report_of("range_predictor")
    chart = titled(charts_of("range_predictor", report), "Pinball loss beside reference baselines")
    own, *others = chart.panels[1].series
    cell = next(one for one in report["cells"] if one["horizon"] == 36)
    assert own.values == [pytest.approx(100 * cell["pinball"] / cell["baselines"][cell["best_baseline"]])]
    best = cell["baselines"][cell["best_baseline"]]
    drawn = [100 * cell["baselines"][name] / best for name in BASELINES]
    assert [series.values[0] for series in others] == pytest.approx(drawn)
    assert len(others) == len(BASELINES)
    assert set(BASELINE_NAMES) - set(BASELINES) == {"climatology", "walk"}, "far off, they would compress the scale"


def test_unknown_values_are_null_and_not_drawn():
    report = report_of("range_predictor")
    for cell in report["cells"]:
        cell["coverage_80"] = cell["skill"] = cell["effective_n"] = None
    charts = charts_of("range_predictor", report)
    assert [series.values for panel in titled(charts, "Skill").panels for series in panel.series] == [
        [None] * 3,
        [None],
    ]
    assert titled(charts, "Independent outcomes").missing
    assert titled(charts, "Skill").panels[0].title == "1 h"


def test_the_net_result_is_explained_without_or_with_few_trades():
    report = report_of("tpsl_classifier")
    report["net"] = {"trades": 0, "days": 0, "costs_bps": 21.0}
    assert "no trade" in titled(charts_of("tpsl_classifier", report), "Net result").missing
    report["net"] = {
        "trades": 9, "days": 4, "costs_bps": 21.0, "expected_bps": 1.0, "realised_bps": -3.0, "error_bps": 2.0
    }  # fmt: skip
    chart = titled(charts_of("tpsl_classifier", report), "Net result")
    assert "too few for a conclusion" in chart.caption
    assert chart.panels[0].series[0].values == [1.0, -3.0]
    assert chart.panels[0].series[0].errors == [None, pytest.approx(3.92)]


def test_the_slopes_whose_bars_reach_one_are_counted():
    report = report_of("tpsl_classifier")
    slope = report["cells"][0]["calibration_slope"]
    for error, count in ((abs(slope - 1) / 1.9, 1), (abs(slope - 1) / 2.1, 0)):
        report["detail"]["cells"][0]["calibration"]["slope_error"] = error
        chart = titled(charts_of("tpsl_classifier", report), "Calibration slope")
        assert f"; {count} of 1 reach the line" in chart.caption


def test_two_versions_stand_panel_beside_panel_on_one_scale():
    near, far = report_of("range_predictor"), report_of("range_predictor")
    for cell in far["cells"]:
        cell["skill"] = 40.0
    first, second = (
        ModelVersion(kind="range_predictor", digest=letter * 64, report=report)
        for letter, report in (("a", near), ("b", far))
    )
    chart = titled(compared_charts(first, second), "Skill")
    assert [panel.title[:13] for panel in chart.panels] == [
        "aaaaaaaa: 1 h",
        "bbbbbbbb: 1 h",
        "aaaaaaaa: 3 h",
        "bbbbbbbb: 3 h",
    ]
    assert chart.ends[1] >= 40.0
    assert chart.ends[0] <= min(cell["skill"] - 2 * cell["skill_error"] for cell in near["cells"])
