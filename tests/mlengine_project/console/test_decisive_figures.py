"""The figures and statements a user decides by, each beside the API's at the same moment, in one table."""

from decimal import Decimal

import pytest

from marketdata.models import Candle
from marketdata.process_state import process_state
from mlengine_project.access import services as access
from mlengine_project.console.wording import half_width, percent_text, skill_sentence
from predictions.reasons import REASON_TEXTS
from predictions.scoring.scoreboard import Results
from tests.mlengine_project.console import rows
from tests.mlengine_project.console.test_pages import words

pytestmark = pytest.mark.django_db
DAYS = 11
COVERAGE = [{"level": 0.8, "high": 0.791, "low": 0.803, "n": 412}]
NEWEST = rows.BEGIN - rows.STEP
PAST = rows.BEGIN - 25 * rows.STEP
"""Open of the newest candle whose forecast is scored."""


@pytest.fixture
def engine():
    """A market with eleven days of scored forecasts, one with a hold, and versions with a refused gate."""
    process_state.drop(Results)  # those of another test's markets may be a minute old
    acting, waiting = rows.market("BTCUSDT"), rows.market("ETHUSDT")
    for of in (acting, waiting):
        rows.candles(of, DAYS * 288 + 1100 if of is acting else 300)
        for horizon in rows.HORIZONS:
            rows.prediction(of, horizon, coverage=COVERAGE)
    champion = rows.version(stage="champion", accepted=False)
    for back in range(1, DAYS * 6):
        out = back % 5 == 0
        rows.prediction(
            acting, 6, rows.BEGIN - (48 * back - 23) * rows.STEP,
            actual_high=Decimal("101.9") if out else Decimal("100.9"), actual_low=Decimal("99.2"), mae=Decimal("0.51"),
            outcome_final=back > 10, model_versions={"range_predictor": str(champion.pk)},
        )  # fmt: skip
    sell = {**rows.BUY, "signal_type": "sell", "considered_side": "sell"}
    rows.signal(acting, 1, PAST, outcome="sl", pnl_percent=Decimal("-0.8500"), **sell)
    rows.signal(acting, 2, **rows.BUY)
    rows.signal(waiting, 1, reasons=["GAP_IN_WINDOW", "OUT_OF_DISTRIBUTION"])
    Candle.objects.filter(market=acting, open_time=rows.BEGIN - 40 * rows.STEP).delete()


def price(text):
    """A price by the tick of the candles, a tenth."""
    return f"{Decimal(text):,.1f}"


def of_horizon(answer, horizon=6):
    return next(row for row in answer["results"] if row["horizon"] == horizon)


def band(row, level=0.8):
    return next(one for one in row["bands"] if one["level"] == level)


def change(candles):
    closes = [Decimal(candle["close"]) for candle in candles["results"]]
    return f"{percent_text(closes[-1] / closes[-288] - 1, signed=True)} 24 h"  # one candle of the day is missing


def both_sides(row, level):
    low, high = band(row, level)["low"], band(row, level)["high"]
    edges = [price(edge) for edge in (low["lower"], low["upper"], high["lower"], high["upper"])]
    return "{} – {} {} – {}".format(*edges)


def skill(score):
    value, interval = score["skill"]["ewm"], score["skill_interval"]["ewm"]
    assert interval["lower"] < value < interval["upper"]
    return skill_sentence(value, half_width(value, interval), "EWM", score["effective_n"]).text


def held(score):
    eighty = next(one for one in score["coverage"] if one["level"] == 0.8)
    return f"{percent_text(eighty['high'], 1)} / {percent_text(eighty['low'], 1)}"


BTC, LATEST = "symbol=BTCUSDT", "/predictions?symbol=BTCUSDT&latest=true"
BOARD, MARKET, RECORD, MODELS = (
    "/console/cards?symbols=BTCUSDT",
    "/market/BTCUSDT",
    "/console/record",
    "/console/models",
)
OPENED = f"/console/forecast/BTCUSDT/opened?horizon=6&at={NEWEST}"
FIGURES = {
    "price": (BOARD, f"/candles?{BTC}&limit=1000", lambda a: price(a["results"][-1]["close"])),
    "change of a day": (BOARD, f"/candles?{BTC}&limit=1000", change),
    "median low": (MARKET, LATEST, lambda a: price(of_horizon(a)["predicted_low"])),
    "median high": (MARKET, LATEST, lambda a: price(of_horizon(a)["predicted_high"])),
    "80 % edges": (BOARD, LATEST, lambda a: price(band(of_horizon(a, 72))["high"]["upper"])),
    "50 % band": (OPENED, LATEST, lambda a: "50 % " + both_sides(of_horizon(a), 0.5)),
    "90 % band": (OPENED, LATEST, lambda a: "90 % " + both_sides(of_horizon(a), 0.9)),
    "live coverage": (
        BOARD,
        LATEST,
        lambda a: (
            "80 % bands held {high:.1%} / {low:.1%} of {n}".format(**of_horizon(a)["coverage"][0])
            .replace("%", " %")
            .replace("80  %", "80 %")
        ),
    ),
    "side": (BOARD, f"/signals?{BTC}", lambda a: f"▲ {a['results'][0]['signal_type'].capitalize()}"),
    "take-profit and stop-loss": (
        MARKET,
        f"/signals?{BTC}",
        lambda a: "take-profit {} , stop-loss {}".format(
            *(price(a["results"][0][name]) for name in ("take_profit", "stop_loss"))
        ),
    ),
    "probability and what is needed": (
        MARKET,
        f"/signals?{BTC}",
        lambda a: "{} vs {} to break even".format(
            *(percent_text(a["results"][0][name], 1) for name in ("p_take_profit", "p_break_even"))
        ),
    ),
    "expected net return": (
        MARKET,
        f"/signals?{BTC}",
        lambda a: f"{percent_text(a['results'][0]['expected_net_return'], signed=True)} expected",
    ),
    "validity": (BOARD, f"/signals?{BTC}", lambda a: f"valid until {a['results'][0]['valid_until'][11:19]}"),
    "reasons of a hold": (
        "/console/cards?symbols=ETHUSDT",
        "/signals?symbol=ETHUSDT",
        lambda a: "; ".join(REASON_TEXTS[code] for code in a["results"][0]["reasons"]).capitalize() + ".",
    ),
    "result of a signal": (
        MARKET,
        f"/signals?{BTC}",
        lambda a: f"Stop-loss {percent_text(a['results'][1]['pnl_percent'] / 100, signed=True)} provisional",
    ),
    "what came of a forecast": (
        f"/console/forecast/BTCUSDT/opened?horizon=6&at={PAST}",
        f"/predictions?{BTC}&horizon=6&limit=2",
        lambda a: f"{price(a['results'][1]['actual_low'])} {price(a['results'][1]['actual_high'])} provisional",
    ),
    "mean error": (RECORD, f"/track-record?{BTC}", lambda a: f"{of_horizon(a)['mae_percent']:.2f} %"),
    "skill": (RECORD, f"/track-record?{BTC}", lambda a: skill(of_horizon(a))),
    "skill on the market page": (
        "/console/record-panel?" + BTC,
        f"/track-record?{BTC}",
        lambda a: skill(of_horizon(a)),
    ),
    "share inside the band": (RECORD, f"/track-record?{BTC}", lambda a: held(of_horizon(a))),
    "outcomes": (
        RECORD,
        f"/track-record?{BTC}",
        lambda a: "{n} {effective_n} independent {n_provisional} {n_final} final".format(**of_horizon(a)),
    ),
    "net result": (RECORD, f"/track-record?{BTC}", lambda a: f"× {of_horizon(a)['net']['signals']}"),
    "champion": (MODELS, "/models/status", lambda a: f"Version {a['range_predictor']['digest'][:10]}"),
    "missing candles": (MARKET, f"/candles/quality?{BTC}", lambda a: f"{a['missing']} missing"),
    "cause of a fault": (
        "/console/operations",
        "/health/detailed",
        lambda a: a["binance"]["message"][0].upper() + a["binance"]["message"][1:],
    ),
}
"""Page, path of the API, and the text that its answer makes."""


def test_every_figure_is_the_one_of_the_api(engine, admin_client, client):
    _, secret = access.create_key("tests", "read")
    pages, answers, wrong = {}, {}, {}
    for name, (page, path, text) in FIGURES.items():
        if page not in pages:
            pages[page] = words(admin_client.get(page))
        if path not in answers:
            answer = client.get(path, headers={"X-API-Key": secret})
            assert answer.status_code == 200, (path, answer.content)
            answers[path] = answer.json()
        expected = text(answers[path])
        if expected not in pages[page]:
            wrong[name] = expected
    assert wrong == {}
    assert len(FIGURES) >= 20
    process_state.drop(Results)
