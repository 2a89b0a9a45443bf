"""Figures by which a user decides: pages show those that the API gives at the same moment."""

import re
from decimal import Decimal
from html import unescape

import pytest

from mlengine_project.access import services as access
from predictions.models import PredictionLog
from predictions.reasons import REASON_TEXTS
from signals.models import SignalLog
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
COVERAGE = [{"level": 0.8, "high": 0.791, "low": 0.803, "n": 412}]


@pytest.fixture
def api(client):
    """Answers of the API as JSON, with a key."""
    _, secret = access.create_key("tests", "read")

    def read(path):
        answer = client.get(path, headers={"X-API-Key": secret})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return read


@pytest.fixture
def answered():
    """One market with a forecast of every horizon and a buy."""
    of = rows.market()
    rows.candles(of, 300, price=100)
    for horizon in rows.HORIZONS:
        rows.prediction(of, horizon, price=129.9, coverage=COVERAGE)
    rows.signal(of, **rows.BUY)
    rows.SymbolSequence.objects.create(symbol=of.symbol, head=1)
    return of


def text(response):
    assert response.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def written(price):
    """A price by the tick of the candles, a tenth."""
    return f"{Decimal(price):,.1f}"


@pytest.fixture(params=["/", "/market/BTCUSDT"])
def page(request, admin_client, answered):
    return text(admin_client.get(request.param))


def test_price_is_the_newest_close(page, api):
    assert written(api("/candles?symbol=BTCUSDT")["results"][-1]["close"]) in page


def test_change_of_a_day_is_that_of_the_closes(page, api):
    candles = api("/candles?symbol=BTCUSDT&limit=1000")["results"]
    change = Decimal(candles[-1]["close"]) / Decimal(candles[-289]["close"]) - 1
    assert f"+{100 * change:.2f} % 24 h" in page


def test_ranges_show_medians_and_the_edges_of_the_80_percent_band(page, api):
    shown = api("/predictions?symbol=BTCUSDT")["results"]
    assert len(shown) == len(rows.HORIZONS)
    for prediction in shown:
        band = next(band for band in prediction["bands"] if band["level"] == 0.8)
        low, high = prediction["predicted_low"], prediction["predicted_high"]
        assert f"{written(low)} {written(band['low']['lower'])}" in page
        assert f"{written(high)} {written(band['high']['upper'])}" in page
    assert "Low, median 80 % edge" in page
    assert "High, median 80 % edge" in page


def test_signal_levels_and_probabilities(page, api):
    signal = api("/signals?symbol=BTCUSDT")["results"][0]
    assert f"take-profit {written(signal['take_profit'])} , stop-loss {written(signal['stop_loss'])}" in page
    assert f"{100 * signal['p_take_profit']:.1f} % vs {100 * signal['p_break_even']:.1f} % to break even" in page
    assert f"+{100 * signal['expected_net_return']:.2f} % expected" in page
    assert f"#{signal['seq']}" in page
    assert f"valid until {signal['valid_until'][11:19]}" in page


def test_coverage_is_that_of_the_prediction(admin_client, answered, api):
    band = api("/predictions?symbol=BTCUSDT")["results"][0]["coverage"][0]
    assert f"{100 * band['high']:.1f} % / {100 * band['low']:.1f} % of {band['n']}" in text(admin_client.get("/"))
    sentence = text(admin_client.get("/market/BTCUSDT"))
    assert f"held {100 * band['high']:.1f} % (high) and {100 * band['low']:.1f} % (low) of {band['n']} out" in sentence
    assert "(expected 80 ± 9.5 %)" in sentence


@pytest.mark.parametrize("code", REASON_TEXTS)
def test_every_reason_has_its_text(admin_client, answered, code):
    rows.signal(answered, 2, rows.BEGIN, reasons=[code])
    assert REASON_TEXTS[code].lower() in text(admin_client.get("/market/BTCUSDT")).lower()


def test_reasons_of_a_hold_are_those_of_the_api_and_never_cut(admin_client, answered, api):
    codes = ["GAP_IN_WINDOW", "OUT_OF_DISTRIBUTION", "MODELS_DISAGREE", "INTERVAL_TOO_WIDE", "NO_EDGE_AFTER_FEES"]
    rows.signal(answered, 2, rows.BEGIN, reasons=codes)
    assert api("/signals?symbol=BTCUSDT")["results"][0]["reasons"] == codes
    shown = text(admin_client.get("/market/BTCUSDT"))
    for code in codes:
        assert REASON_TEXTS[code].lower() in shown.lower()


def test_outcome_of_a_signal(admin_client, answered, api):
    SignalLog.objects.update(outcome="sl", pnl_percent=Decimal("-0.8500"))
    signal = api("/signals?symbol=BTCUSDT")["results"][0]
    assert (signal["outcome"], signal["pnl_percent"]) == ("sl", -0.85)
    assert "Stop-loss −0.85 % provisional" in text(admin_client.get("/market/BTCUSDT"))


def test_chart_has_the_candles_of_the_api_in_every_interval(admin_client, answered, api):
    for interval in ("5m", "15m", "1h", "4h", "1d"):
        drawn = admin_client.get(f"/console/chart/BTCUSDT?interval={interval}").json()["candles"]
        answer = api(f"/candles?symbol=BTCUSDT&interval={interval}&limit=1000")["results"]
        prices = [[Decimal(candle[name]) for name in ("open", "high", "low", "close", "volume")] for candle in answer]
        assert [[Decimal(number) for number in row[1:6]] for row in drawn] == prices
        assert [row[6] for row in drawn] == [candle.get("missing", 0) for candle in answer]


def test_chart_has_the_bands_of_the_api(admin_client, answered, api):
    ahead = admin_client.get("/console/chart/BTCUSDT").json()["ahead"]
    for drawn in ahead["horizons"]:
        shown = api(f"/predictions/{drawn['id']}")
        for band, (lower, upper) in zip(shown["bands"], ((2, 4), (1, 5), (0, 6)), strict=True):
            for side in ("high", "low"):
                edges = [Decimal(band[side]["lower"]), Decimal(band[side]["upper"])]
                assert [Decimal(drawn[side][lower]), Decimal(drawn[side][upper])] == edges


def test_indicators_of_the_chart_are_those_of_the_api(admin_client, answered, api):
    names = "sma_20,rsi_14,bollinger_20"
    drawn = admin_client.get(f"/console/indicators/BTCUSDT?names={names}&rows=50").json()
    answer = api(f"/indicators?symbol=BTCUSDT&names={names}&limit=50")["results"]
    for name in answer[0]["values"]:
        assert drawn["values"][name] == [row["values"][name] for row in answer]


def test_opened_forecast_has_outcome_bands_versions_and_seal(admin_client, answered, api):
    row = PredictionLog.objects.get(horizon=18)
    row.actual_high, row.actual_low = Decimal("131.5"), Decimal(90)
    row.save()
    shown = api(f"/predictions/{row.pk}")
    at = rows.BEGIN - rows.STEP
    opened = text(admin_client.get(f"/console/forecast/BTCUSDT/opened?at={at}&horizon=18"))
    assert "Forecast of the next 1 h 30" in opened
    assert f"{written(shown['actual_low'])} {written(shown['actual_high'])} provisional" in opened
    for band in shown["bands"]:
        assert f"{written(band['high']['lower'])} – {written(band['high']['upper'])}" in opened
        assert f"{written(band['low']['lower'])} – {written(band['low']['upper'])} ✕ missed" in opened
    assert row.seal in opened
    assert row.previous_seal in opened


def test_track_record_shows_numbers_without_claiming_a_skill(admin_client, answered, api):
    for row in PredictionLog.objects.all():
        row.actual_high, row.actual_low, row.mae = Decimal("131.5"), Decimal(128), Decimal("0.512")
        row.save()
    results = api("/track-record?symbol=BTCUSDT")["results"]
    shown = text(admin_client.get("/console/record-panel?symbol=BTCUSDT"))
    for result in results:
        assert f"{result['n']:,} ({result['effective_n']}) {result['mae_percent']:.3f} %" in shown
    panel = admin_client.get("/console/record-panel?symbol=BTCUSDT").content.decode()
    assert "skill unsure" in panel
    assert "skill better" not in panel
