"""Report figures and pages: correct numbers, explanations for missing data, no scripts."""

import copy
import json
import re
from types import SimpleNamespace
from uuid import uuid4
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from modelregistry.evaluation.figures.ranges import NAMES, figures_of
from modelregistry.evaluation.figures.svg import Mark, Row, Scale, dot_plot, mark, span_of
from modelregistry.evaluation.figures.svg_series import Series, column_plot, time_plot
from modelregistry.evaluation.reports.as_json import published
from modelregistry.evaluation.reports.detail import bracket_detail, direction_detail, range_detail
from modelregistry.evaluation.reports.report import (
    BASELINE_NAMES,
    Collected,
    bracket_report,
    direction_report,
    range_report,
)
from modelregistry.models import ModelVersion
from modelregistry.search import trial_ledger
from tests.modelregistry import champions
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
    return {**report, "detail": detail} if detailed else report


def panels(figures, title):
    return dict(next(figure for figure in figures if figure.title == title).panels)


@pytest.mark.parametrize("detailed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_panel_is_well_formed_named_and_without_script(kind, detailed):
    figures = figures_of(kind, report_of(kind, detailed=detailed))
    drawn = [svg for figure in figures for _, svg in figure.panels]
    assert len(drawn) >= (5 if detailed and kind != "signal_classifier" else 1)
    for svg in drawn:
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert not re.search(
            r"<script|javascript:|\bon\w+=|https?://(?!www\.w3\.org/2000/svg)|nan|inf", svg, re.IGNORECASE
        )


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_twice_gives_the_same_text_and_leaves_the_report_alone(kind):
    report = report_of(kind)
    kept = copy.deepcopy(report)
    assert figures_of(kind, report) == figures_of(kind, report)
    assert report == kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_detail_has_explanations(kind):
    figures = figures_of(kind, report_of(kind, detailed=False))
    silent = [figure for figure in figures if not figure.panels]
    assert silent
    assert all(figure.missing for figure in silent)
    over_time = [figure for figure in figures if "over time" in figure.title or figure.title == "Reliability"]
    assert over_time
    assert all("train" in figure.missing for figure in over_time)


def test_every_cell_has_a_line_and_every_horizon_a_panel():
    report = report_of("range_predictor")
    figures = figures_of("range_predictor", report)
    found = panels(figures, "Skill")
    assert list(found) == ["12 candles · 1 h", "36 candles · 3 h"]
    assert re.findall(r">((?:BTC|ETH) \w+)</text>", found["12 candles · 1 h"]) == ["BTC high", "BTC low", "ETH high"]
    skill = report["cells"][0]["skill"]
    assert f"+{skill:.1f} %" in found["12 candles · 1 h"]
    losses = panels(figures, "Pinball loss beside reference baselines")["36 candles · 3 h"]
    assert losses.count('class="mark') == len(NAMES) + 1
    assert set(BASELINE_NAMES) - set(NAMES) == {"climatology", "walk"}, "far off, they would compress the axis"


def test_the_axis_places_marks():
    drawn = dot_plot("x", [Row("a", [Mark(0.0), Mark(1.0, 0.25)])], (0.0, 1.0))
    first, last = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn))
    assert last > first
    bar = next(line for line in re.findall(r"<line[^>]+>", drawn) if "error" in line)
    left, right = (float(re.search(rf'{name}="([\d.]+)"', bar).group(1)) for name in ("x1", "x2"))
    assert right == last  # the bar is held inside the panel
    assert (last - left) / (last - first) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("span", [(0.0, 0.003), (-0.5, 0.5), (78.0, 92.0), (0.0, 8763.0), (-12.5, 3.1), (1e6, 3e6)])
def test_ticks_are_few_round_and_inside(span):
    ticks = Scale(*span, 0.0, 100.0).ticks()
    assert 3 <= len(ticks) <= 5
    assert all(span[0] <= tick <= span[1] for tick in ticks)
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_gaps_break_the_line_and_nothing_is_drawn_for_what_is_unknown():
    marks = [Mark(1.0), Mark(2.0), None, Mark(3.0), Mark(2.0)]
    drawn = time_plot("x", list("abcde"), [Series(marks)], (0.0, 4.0))
    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 4
    assert span_of([None, None]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no mark"):
        mark("heart", 0, 0, "own")


def test_columns_hang_from_zero():
    drawn = column_plot("x", ["a", "b"], [Mark(2.0, hint="<up>"), Mark(-2.0)], (-2.0, 2.0))
    (top, height), (below, depth) = re.findall(r'y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', drawn)
    assert float(top) + float(height) == pytest.approx(float(below))
    assert height == depth
    assert "<up>" not in drawn
    assert "&lt;up&gt;" in drawn


def test_names_are_escaped():
    report = report_of("range_predictor")
    for cell in (*report["cells"], *report["detail"]["cells"]):
        cell["symbol"] = "<script>alert(1)</script>"
    drawn = "".join(svg for figure in figures_of("range_predictor", report) for _, svg in figure.panels)
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


def test_the_net_result_is_explained_without_or_with_few_trades():
    report = report_of("tpsl_classifier")
    assert (
        "BTC buy 1×1"
        in panels(figures_of("tpsl_classifier", report), "Brier score beside reference baselines").popitem()[1]
    )
    report["net"] = {"trades": 0, "days": 0, "costs_bps": 21.0}
    silent = next(figure for figure in figures_of("tpsl_classifier", report) if figure.title == "Net result")
    assert "no trade" in silent.missing
    few = {"trades": 9, "days": 4, "costs_bps": 21.0, "expected_bps": 1.0, "realised_bps": -3.0, "error_bps": 2.0}
    report["net"] = few
    explained = next(figure for figure in figures_of("tpsl_classifier", report) if figure.title == "Net result")
    assert "too few for a conclusion" in explained.caption


@pytest.mark.parametrize("kind", KINDS)
def test_volatility_terciles_are_drawn_for_every_kind(kind):
    report = report_of(kind)
    drawn = panels(figures_of(kind, report), "Volatility terciles")
    horizons = {cell["horizon"] for cell in report["cells"]}
    assert len(drawn) == len(horizons)
    names = report["detail"]["cells"][0]["terciles"]["tercile"]
    assert names
    assert all(f">{name}</text>" in svg for svg in drawn.values() for name in names)
    if kind == "signal_classifier":
        table = report["detail"]["cells"][0]["terciles"]
        (svg,) = drawn.values()
        for slope, score in zip(table["calibration_slope"], table["brier"], strict=True):
            assert f">{slope:.2f}</text>" in svg
            assert f"{score:.4f}, base rate" in svg


@pytest.mark.parametrize("kind", KINDS)
def test_skill_over_time_and_effective_sizes_are_drawn_for_every_kind(kind):
    report = report_of(kind)
    for cell in report["detail"]["cells"]:
        table = cell["periods"]
        assert len(table["period"]) == len(table["skill"]) == len(table["skill_error"]) > 1
    figures = figures_of(kind, report)
    horizons = {cell["horizon"] for cell in report["cells"]}
    for title in ("Skill over time", "Effective sample size"):
        assert len(panels(figures, title)) == len(horizons)
    assert all(0 < cell["effective_n"] <= cell["rows"] for cell in report["cells"])


def test_the_slopes_whose_bars_reach_one_are_counted():
    report = report_of("tpsl_classifier")
    cell = report["detail"]["cells"][0]
    slope = report["cells"][0]["calibration_slope"]
    for error, count in ((abs(slope - 1) / 1.9, 1), (abs(slope - 1) / 2.1, 0)):
        cell["calibration"]["slope_error"] = error
        explained = next(
            figure for figure in figures_of("tpsl_classifier", report) if figure.title == "Calibration slope"
        )
        assert f"; {count} of 1 reach the line" in explained.caption


def test_missing_figures_are_left_out():
    report = report_of("range_predictor")
    for cell in report["cells"]:
        cell["coverage_80"] = cell["skill"] = cell["effective_n"] = None
    figures = figures_of("range_predictor", report)
    assert "<circle" not in "".join(panels(figures, "Skill").values())
    coverage = "".join(panels(figures, "Coverage").values())
    assert coverage.count("<circle") == len(report["cells"])


@pytest.fixture
def reader(client, django_user_model, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    person = django_user_model.objects.create_user("rita", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_modelversion"))
    client.force_login(person)
    return client


def version_with(kind, report):
    version = champions.candidate(kind)
    folds = [{"from_ms": FIRST, "to_ms": FIRST + 10 * HOUR, "rows": 10}]
    ModelVersion.objects.filter(pk=version.pk).update(report={**report, "folds": folds, "rows": 10})
    return version


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_linked_from_the_version_and_has_no_script(reader, kind):
    version = version_with(kind, report_of(kind))
    url = reverse("admin:modelregistry_modelversion_report", args=[version.pk])
    change = reader.get(reverse("admin:modelregistry_modelversion_change", args=[version.pk]))
    assert url in change.content.decode()
    response = reader.get(url)
    page = response.content.decode()
    assert response.status_code == 200
    assert page.count("<svg") > 3
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "2024-11-01" in page
    assert version.digest[:12] in page


@pytest.mark.django_db
def test_the_json_has_the_content_of_the_page(reader):
    report = report_of("range_predictor")
    version = version_with("range_predictor", report)
    found = reader.get(reverse("admin:modelregistry_modelversion_report_json", args=[version.pk])).json()
    shown = published(json.loads(json.dumps(report, default=float)))
    assert found["report"]["cells"] == shown["cells"]
    assert found["report"]["detail"] == shown["detail"]
    assert found["id"] == str(version.pk)
    assert found["trials"]["trials"] == 0


@pytest.mark.django_db
def test_the_page_shows_trials_and_selection_bias(reader):
    version = version_with("range_predictor", report_of("range_predictor"))
    url = reverse("admin:modelregistry_modelversion_report", args=[version.pk])
    assert "0 trials" in reader.get(url).content.decode()
    rng = np.random.default_rng(3)
    for number in range(4):
        gains = {f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}": float(rng.normal()) for d in range(60)}
        trial_ledger.record_trial(
            kind=version.kind,
            source=version.source,
            configuration={"depth": number},
            actor="tests",
            origin="search",
            score=0.0,
            period_scores=gains,
        )
    page = reader.get(url).content.decode()
    assert "4 trials" in page
    assert "Probability of overfitting 0." in page
    assert "below the threshold of 0.95" in page


@pytest.mark.django_db
def test_an_empty_report_has_a_page(reader):
    version = champions.candidate()
    page = reader.get(reverse("admin:modelregistry_modelversion_report", args=[version.pk])).content.decode()
    assert "never scored" in page
    assert "nothing to draw" in page


@pytest.mark.django_db
def test_anonymous_users_see_nothing_and_an_unknown_version_is_not_found(client, reader, django_user_model):
    unknown = reverse("admin:modelregistry_modelversion_report", args=[uuid4()])
    assert reader.get(unknown).status_code == 404
    version = champions.candidate()
    url = reverse("admin:modelregistry_modelversion_report", args=[version.pk])
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))
    assert client.get(url).status_code == 403
    client.logout()
    assert client.get(url).status_code == 302
