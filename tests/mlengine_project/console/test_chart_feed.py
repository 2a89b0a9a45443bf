"""Data of the chart: candles oldest first, the fan, and past predictions of one horizon with outcomes."""

from decimal import Decimal

import pytest

from mlengine_project.console import chart_feed
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def followed():
    of = rows.market()
    rows.candles(of, 40)
    for back in range(10, 0, -1):
        for horizon in rows.HORIZONS:
            rows.prediction(of, horizon, rows.BEGIN - back * rows.STEP, price=100 + back)
    return of


def feed(client, query="horizon=6"):
    answer = client.get(f"/console/chart/BTCUSDT?{query}")
    assert answer.status_code == 200
    return answer.json()


def test_candles_are_decimal_strings_oldest_first(admin_client, followed):
    candles = feed(admin_client)["candles"]
    assert len(candles) == 40
    assert [row[0] for row in candles] == sorted(row[0] for row in candles)
    assert candles[-1] == [(rows.BEGIN - rows.STEP) // 1000, "103.9", "104.9", "102.9", "103.9", "5", 0]


def test_the_fan_starts_at_the_newest_prediction_and_widens(admin_client, followed):
    ahead = feed(admin_client)["ahead"]
    assert ahead["time"] == (rows.BEGIN - rows.STEP) // 1000
    assert [row["horizon"] for row in ahead["horizons"]] == list(rows.HORIZONS)
    highs = [float(row["high"][3]) for row in ahead["horizons"]]
    assert highs == sorted(highs)
    for row in ahead["horizons"]:
        assert float(row["low"][0]) < float(row["low"][6]) < float(ahead["price"]) < float(row["high"][0])


def test_past_predictions_have_the_requested_horizon_and_due_outcomes(admin_client, followed):
    prediction = followed.predictions.filter(horizon=18).earliest("candle_time")
    prediction.actual_high, prediction.actual_low = Decimal("120.5"), Decimal("90.25")
    prediction.save()
    past = feed(admin_client, "horizon=18")["past"]
    assert len(past) == 10
    assert past[0][7:] == ["120.5", "90.25"]
    assert past[1][7:] == [None, None]
    assert float(past[0][2]) == pytest.approx(float(prediction.predicted_high))


def test_feed_since_a_time_has_only_changed_entries(admin_client, followed):
    newest = rows.BEGIN - rows.STEP
    answer = feed(admin_client, f"horizon=6&since={newest}")
    assert len(answer["candles"]) == 1
    assert [row[0] * 1000 for row in answer["past"]] == [newest - back * rows.STEP for back in range(8, -1, -1)]


def test_markers_are_drawn_for_buys_and_sells_only(admin_client, followed):
    rows.signal(followed, 1, rows.BEGIN - 2 * rows.STEP)
    rows.signal(followed, 2, rows.BEGIN - rows.STEP, **rows.BUY, outcome="sl")
    markers = feed(admin_client)["signals"]
    assert [(marker["type"], marker["outcome"], marker["take_profit"]) for marker in markers] == [
        ("buy", "sl", "101.5")
    ]


@pytest.mark.parametrize(
    "query", ["horizon=six", "before=now", "interval=7m", "horizon=-6", "horizon=6&since=now", "horizon=٣"]
)
def test_query_that_is_not_a_number_is_refused(admin_client, followed, query):
    assert admin_client.get(f"/console/chart/BTCUSDT?{query}").status_code == 400


def test_very_large_number_is_accepted(admin_client, followed):
    assert feed(admin_client, f"horizon={'9' * 400}&since={'9' * 400}")["past"] == []


def test_an_unknown_market_has_no_feed(admin_client):
    assert admin_client.get("/console/chart/NOPE?horizon=6").status_code == 404


def test_an_engine_without_candles_draws_nothing(admin_client):
    rows.market()
    answer = feed(admin_client)
    assert answer["candles"] == []
    assert answer["ahead"] is None


def test_older_candles_follow_without_overlap_until_the_beginning(admin_client):
    of = rows.market()
    rows.candles(of, 1_500)
    newest = feed(admin_client, "")["candles"]
    older = feed(admin_client, f"before={newest[0][0] * 1000}")
    assert len(newest) == chart_feed.CANDLES
    assert len(older["candles"]) == 1_500 - chart_feed.CANDLES
    assert older["candles"][-1][0] + 300 == newest[0][0]
    assert older["ahead"] is None
    assert feed(admin_client, f"before={older['candles'][0][0] * 1000}")["candles"] == []
    few = feed(admin_client, f"before={newest[0][0] * 1000}&count=3")["candles"]
    assert few == older["candles"][-3:]


def test_longer_intervals_are_paged_and_count_absent_parts(admin_client):
    of = rows.market()
    kept = rows.candles(of, 60)
    kept[5].delete()
    hours = feed(admin_client, "interval=1h")
    assert hours["step"] == 3_600
    assert [row[6] for row in hours["candles"]] == [1, 0, 0, 0, 0]
    older = feed(admin_client, f"interval=1h&before={hours['candles'][2][0] * 1000}")["candles"]
    assert older == hours["candles"][:2]


def test_absences_and_revisions_within_the_stretch_are_listed(admin_client, followed):
    from marketdata.models import AbsentStretch, CandleRevision

    hole, changed = rows.BEGIN - 5 * rows.STEP, rows.BEGIN - 2 * rows.STEP
    AbsentStretch.objects.create(market=followed, start=hole, end=hole + rows.STEP, evidence={})
    CandleRevision.objects.create(market=followed, open_time=changed, before={}, after={}, origin="rest")
    answer = feed(admin_client, "")
    assert answer["absences"] == [[hole // 1000, (hole + rows.STEP) // 1000]]
    assert answer["revisions"] == [changed // 1000]


def test_chosen_forecast_is_the_newest_at_that_instant(admin_client, followed):
    at = rows.BEGIN - 4 * rows.STEP
    found = admin_client.get(f"/console/forecast/BTCUSDT?at={at + 60_000}").json()["forecast"]
    assert found["time"] * 1000 == at
    assert [row["horizon"] for row in found["horizons"]] == list(rows.HORIZONS)
    assert [len(row["high"]) for row in found["horizons"]] == [7] * 4
    before = admin_client.get(f"/console/forecast/BTCUSDT?at={rows.BEGIN - 400 * rows.STEP}").json()
    assert before == {"forecast": None}
    opened = admin_client.get(f"/console/forecast/BTCUSDT/opened?at={rows.BEGIN - 400 * rows.STEP}")
    assert "No forecast was made at that time." in opened.content.decode()


def test_indicators_of_unknown_name_or_interval_are_refused(admin_client, followed):
    for query in ("names=nothing", "names=sma_20&interval=2h", "names=sma_20&rows=x"):
        assert admin_client.get(f"/console/indicators/BTCUSDT?{query}").status_code == 400
