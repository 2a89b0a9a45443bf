"""Track record page and files: the numbers of the API at the same moment, with their uncertainty."""

import io

import pyarrow.parquet as pq
import pytest

from mlengine_project.access import services as access
from mlengine_project.console.record.export import as_csv
from mlengine_project.console.record.page import line_of, margin_of
from predictions.models import PredictionLog
from tests.mlengine_project.console import rows
from tests.mlengine_project.console.test_pages import words

pytestmark = pytest.mark.django_db
STEP = rows.STEP


@pytest.fixture
def scored(admin_client):
    """Scored predictions of two markets; half of them final."""
    for number, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        of = rows.market(symbol)
        rows.candles(of, 1300)
        for back in range(60, 10, -1):
            for horizon in (6, 18):
                rows.prediction(of, horizon, rows.BEGIN - back * STEP, price=129.9)
        for prediction in PredictionLog.objects.filter(market=of):
            is_out = prediction.chain_index % (4 + number) == 0
            prediction.actual_high, prediction.actual_low = ("139.9", "129.0") if is_out else ("131.1", "128.7")
            prediction.mae, prediction.outcome_final = "0.5", prediction.chain_index % 2 == 0
            prediction.save()
    return admin_client


def api_scores(client):
    _, secret = access.create_key("tests", "read")
    return client.get("/track-record", headers={"X-API-Key": secret}).json()["results"]


def test_shares_counts_and_margins_are_those_of_the_api(scored, client):
    results = api_scores(client)
    assert len(results) == 4
    shown = words(scored.get("/console/record"))
    for result in results:
        eighty = next(band for band in result["coverage"] if band["level"] == 0.8)
        margin = 100 * margin_of(0.8, result["effective_n"])
        text = f"{100 * eighty['high']:.1f} % / {100 * eighty['low']:.1f} % ± {margin:.1f} %"
        assert text in shown
    of_30 = [result for result in results if result["horizon"] == 6]
    held = sum(
        result["n"] * (b["high"] + b["low"]) / 2 for result in of_30 for b in result["coverage"] if b["level"] == 0.8
    )
    count, final = sum(result["n"] for result in of_30), sum(result["n_final"] for result in of_30)
    sentence = (
        f"80 % bands of the next 30 min held {100 * held / count:.1f} % of {2 * count} outcomes, {2 * final} of them final "
        f"(expected 80 ± {100 * margin_of(0.8, max(result['effective_n'] for result in of_30)):.1f})."
    )
    assert sentence in shown


def test_charts_have_zero_line_and_bars_and_the_filter_applies(scored):
    charts = scored.get("/console/record/charts", {"symbol": "BTCUSDT", "horizon": "6"}).json()["charts"]
    assert [len(chart["panels"]) for chart in charts] == [1, 1]
    for chart in charts:
        assert 0.0 in chart["lines"]
        for series in chart["panels"][0]["series"]:
            assert len(series["errors"]) == len(series["values"])
            assert all(error > 0 for error in series["errors"])
    page = words(scored.get("/console/record", {"symbol": "BTCUSDT", "horizon": "6"}))
    assert "30 min" in page
    assert page.count("independent outcomes") > 0
    assert scored.get("/console/record/charts", {"symbol": "NONE"}).json() == {"charts": []}


def test_files_have_the_numbers_of_the_api(scored, client):
    results = api_scores(client)
    parquet = scored.get("/console/record/track-record.parquet")
    table = pq.read_table(io.BytesIO(parquet.content)).to_pylist()
    assert [row["skill_ewm"] for row in table] == [result["skill"]["ewm"] for result in results]
    assert {row["skill_ewm_lower"] for row in table} == {None}, "no interval from less than ten days"
    assert [row["held_80_high"] for row in table] == [
        next(band["high"] for band in result["coverage"] if band["level"] == 0.8) for result in results
    ]
    csv = scored.get("/console/record/track-record.csv", {"symbol": "ETHUSDT"})
    assert "attachment" in csv["Content-Disposition"]
    lines = csv.content.decode().splitlines()
    assert lines[0].startswith("symbol,horizon,version")
    assert len(lines) == 3
    assert all(line.startswith("ETHUSDT") for line in lines[1:])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_csv_file_is_a_formula(start):
    written = as_csv([{"name": f"{start}cmd", "loss": -1.5}]).decode()
    assert f"'{start}cmd" in written
    assert "-1.5" in written
    assert "'-1.5" not in written


@pytest.mark.parametrize(
    ("interval", "text", "tone"),
    [
        (None, "+20.00 %, interval unknown, against EWM, 500 independent outcomes", "unsure"),
        ({"lower": 0.15, "upper": 0.24}, "+20.00 % ± 5.00 against EWM, 500 independent outcomes", "better"),
        ({"lower": -0.01, "upper": 0.41}, "+20.00 % ± 21.00 against EWM, 500 independent outcomes", "unsure"),
    ],
)
def test_a_skill_of_the_record_has_a_colour_only_outside_its_interval(interval, text, tone):
    score = {
        "effective_n": 500,
        "coverage": [],
        "skill": {"ewm": 0.2, "har_season": None},
        "skill_interval": {"ewm": interval, "har_season": None},
    }
    line = line_of(score)
    assert (line.skill.text, line.skill.tone) == (text, tone)


def test_empty_record_says_when_the_first_scores_appear(admin_client):
    rows.market()
    assert "Nothing is scored yet" in words(admin_client.get("/console/record"))
    assert admin_client.get("/console/record/track-record.csv").status_code == 200
    assert admin_client.get("/console/record/track-record.parquet").status_code == 200
    assert admin_client.get("/console/record/track-record.xlsx").status_code == 404
