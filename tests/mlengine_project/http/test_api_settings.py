"""The REST paths of the contract, with a running engine."""

import re

import orjson
import pytest

from marketdata import clock
from marketdata.models import Market
from modelregistry.models import ModelVersion
from predictions.models import PredictionLog
from signals.models import SignalLog
from tests.mlengine_project.http.conftest import NEWEST

JSON = {"content_type": "application/json"}
PRICE = re.compile(r"^\d+\.\d{8}$")
UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"


def test_a_prediction_is_complete_and_the_same_for_the_same_candle(caller, engine):
    client = caller("predict")
    for horizon in (6, 18, 36, 72):
        response = client.post("/predictions", {"symbol": "BTCUSDT", "horizon": horizon}, **JSON)
        payload = response.json()
        assert response.status_code == 200, payload
        assert {"id", "candle_time", "made_at", "valid_until", "bands", "coverage", "model_versions"} <= set(payload)
        assert payload["candle_time"].endswith("Z")
        assert payload["actual_high"] is payload["actual_low"] is payload["mae"] is None
        for name in ("current_price", "predicted_high", "predicted_low"):
            assert PRICE.match(payload[name])
        assert [band["level"] for band in payload["bands"]] == [0.5, 0.8, 0.9]
        again = client.post("/predictions", {"symbol": "BTCUSDT", "horizon": horizon}, **JSON)
        assert again.content == response.content
        assert client.get(f"/predictions/{payload['id']}").json() == payload


def test_a_signal_is_complete_and_the_same_for_the_same_candle(caller, engine):
    client = caller("predict")
    response = client.post("/signals", {"symbol": "ETHUSDT"}, **JSON)
    payload = response.json()
    assert response.status_code == 200, payload
    assert payload["signal_type"] in {"buy", "sell", "hold"}
    assert payload["seq"] == 1
    assert {"outcome", "pnl_percent", "reason_details", "expected_net_return", "p_break_even"} <= set(payload)
    assert client.post("/signals", {"symbol": "ETHUSDT"}, **JSON).content == response.content
    assert client.get(f"/signals/{payload['id']}").json() == payload


def test_brackets_and_touches_accept_prices_as_strings_or_numbers(caller, engine):
    client = caller("predict")
    close = float(client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON).json()["current_price"])
    request = {"symbol": "BTCUSDT", "side": "buy", "horizon": 6, "take_profit": f"{close * 1.01:.2f}"}
    payload = client.post("/brackets", {**request, "stop_loss": round(close * 0.99, 2)}, **JSON).json()
    assert abs(payload["p_take_profit"] + payload["p_stop_loss"] + payload["p_neither"] - 1) < 1e-9, payload
    wrong = client.post("/brackets", {**request, "stop_loss": round(close * 1.02, 2)}, **JSON)
    assert (wrong.status_code, list(wrong.json()["details"])) == (400, ["stop_loss"])
    prices = [round(close * 1.001, 2), f"{close * 1.05:.2f}"]
    results = client.post("/touches", {"symbol": "BTCUSDT", "horizon": 6, "prices": prices}, **JSON).json()["results"]
    assert results[0]["p_reached"] > results[1]["p_reached"]
    assert all(PRICE.match(result["price"]) for result in results)


def test_the_logs_are_lists_newest_first_and_latest_is_one_of_each(caller, engine):
    client = caller("read")
    latest = client.get("/predictions?latest=true").json()
    assert {(row["symbol"], row["horizon"]) for row in latest["results"]} == {
        (symbol, horizon) for symbol in ("BTCUSDT", "ETHUSDT") for horizon in (6, 18, 36, 72)
    }
    assert len(client.get("/predictions?symbol=BTCUSDT").json()["results"]) == 4
    assert len(client.get("/predictions?horizon=6").json()["results"]) == 2
    assert len(client.get("/signals?symbol=BTCUSDT&after=0").json()["results"]) == 1
    assert client.get("/signals?symbol=BTCUSDT&after=1").json()["results"] == []
    assert client.get("/signals?after=0").status_code == 400


def test_replay_is_in_order_and_pages_do_not_overlap(caller, engine):
    row = SignalLog.objects.get(symbol="BTCUSDT")
    for seq in range(2, 12):
        row.pk, row.seq, row.chain_index, row._state.adding = None, seq, seq, True
        row.candle_time = row.candle_time.replace(year=2020, month=1, day=seq)
        SignalLog.objects.bulk_create([row])
    client, seen, link = caller("read"), [], "/signals?symbol=BTCUSDT&after=2&limit=4"
    while link:
        page = client.get(link).json()
        seen += [signal["seq"] for signal in page["results"]]
        link = page["next"]
    assert seen == list(range(3, 12))
    newest_first = client.get("/signals?symbol=BTCUSDT&limit=1000").json()["results"]
    times = [signal["candle_time"] for signal in newest_first]
    assert times == sorted(times, reverse=True)


def test_candles_are_oldest_first_and_the_first_page_is_the_newest(caller, engine):
    client = caller("read")
    newest = client.get("/candles?symbol=BTCUSDT&limit=3").json()
    times = [candle["open_time"] for candle in newest["results"]]
    assert times == ["2024-12-31T23:45:00Z", "2024-12-31T23:50:00Z", "2024-12-31T23:55:00Z"]
    assert newest["next"] is None
    before = client.get(newest["previous"]).json()["results"]
    assert before[-1]["open_time"] == "2024-12-31T23:40:00Z"
    span = client.get("/candles?symbol=BTCUSDT&from=2024-12-31T23:45:00Z&to=2024-12-31T23:55:00Z").json()["results"]
    assert [candle["open_time"] for candle in span] == times[:2]
    assert client.get(f"/candles?symbol=BTCUSDT&from={NEWEST}").json()["results"] == newest["results"][2:]
    assert set(newest["results"][0]) == {
        "open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote", "missing"
    }  # fmt: skip
    assert PRICE.match(newest["results"][0]["close"])


def test_quality_accounts_for_every_candle(caller, engine):
    payload = caller("read").get("/candles/quality?symbol=BTCUSDT").json()
    assert payload["expected"] == payload["stored"] + payload["missing"] + payload["absent"]
    assert payload["share"] == 1.0


def test_indicators_by_name_newest_last(caller, engine):
    client = caller("read")
    payload = client.get("/indicators?symbol=BTCUSDT&names=rsi_14,macd&limit=5").json()
    assert [sorted(row["values"]) for row in payload["results"]] == [["macd", "rsi_14"]] * 5
    assert payload["results"][-1]["candle_time"] == "2024-12-31T23:55:00Z"
    assert len(client.get("/indicators?symbol=BTCUSDT").json()["results"]) == 100
    names = {spec["name"] for spec in client.get("/indicators/catalog").json()["results"]}
    assert "rsi_14" in names
    unknown = client.get("/indicators?symbol=BTCUSDT&names=no_such")
    assert (unknown.status_code, list(unknown.json()["details"])) == (400, ["names"])


def test_models_and_their_status_now_and_then(caller, engine, champions):
    client = caller("read")
    payload = client.get("/models/status").json()
    for kind in ("range_predictor", "tpsl_classifier", "signal_classifier"):
        assert payload[kind]["champion"] == str(champions[kind].pk)
        assert client.get(f"/models/{payload[kind]['champion']}").json()["kind"] == kind
    assert client.get("/models/status?at=2020-01-01T00:00:00Z").json()["range_predictor"]["champion"] is None
    assert [one["files_kept"] for one in client.get("/models?kind=range_predictor").json()["results"]] == [True]
    ModelVersion.objects.update(files_removed_at=clock.wall_now())
    assert client.get(f"/models/{payload['range_predictor']['champion']}").json()["files_kept"] is False


def test_markets_list_their_horizons(caller, engine):
    markets = caller("read").get("/markets").json()["results"]
    assert [(m["symbol"], m["horizons"], m["simulated"]) for m in markets] == [
        ("BTCUSDT", [6, 18, 36, 72], True),
        ("ETHUSDT", [6, 18, 36, 72], True),
    ]


def test_a_disabled_market_is_409_and_its_log_stays_readable(caller, engine):
    Market.objects.filter(symbol="BTCUSDT").update(enabled=False)
    engine[0].frozen.advance(2)
    client = caller("admin")
    request = {"symbol": "BTCUSDT", "horizon": 6}
    for response in (
        client.post("/predictions", request, **JSON),
        client.post("/signals", {"symbol": "BTCUSDT"}, **JSON),
        client.post("/touches", {**request, "prices": [1]}, **JSON),
        client.get("/candles?symbol=BTCUSDT"),
        client.get("/indicators?symbol=BTCUSDT"),
    ):
        assert (response.status_code, response.json()["error"]) == (409, "MarketDisabled")
    assert len(client.get("/predictions?symbol=BTCUSDT").json()["results"]) == 4
    assert len(client.get("/signals?symbol=BTCUSDT&after=0").json()["results"]) == 1


def test_past_its_validity_a_prediction_is_refused_with_reasons(caller, engine):
    engine[0].frozen.advance(900)
    response = caller("predict").post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON)
    payload = response.json()
    assert (response.status_code, payload["error"], payload["reasons"]) == (503, "PredictionRefused", ["STALE_DATA"])
    assert int(response["Retry-After"]) >= 1


def test_unknown_and_malformed_ids_are_404(caller, engine):
    client = caller("read")
    for path in ("/predictions", "/signals", "/models", "/jobs"):
        for name in (UNKNOWN_ID, "1", "%00", "..%2f..%2fetc%2fpasswd", "x" * 3000, "latest", "%F0%9F%92%A9", "%ff"):
            response = client.get(f"{path}/{name}")
            assert (response.status_code, response.json()["error"]) == (404, "NotFound"), (path, name)


def test_no_answer_holds_nan(caller, engine):
    PredictionLog.objects.update(data_age_seconds=1e308)
    client = caller("read")
    for path in ("/predictions", "/signals", "/candles?symbol=BTCUSDT", "/indicators?symbol=BTCUSDT", "/models/status"):
        content = client.get(path).content
        assert b"NaN" not in content
        assert b"Infinity" not in content
        orjson.loads(content)


@pytest.mark.parametrize("path", ["/predictions?limit=5", "/signals", "/candles?symbol=BTCUSDT", "/markets", "/models"])
def test_lists_cost_a_fixed_number_of_queries(caller, engine, path, django_assert_max_num_queries):
    client = caller("read")
    client.get(path)
    with django_assert_max_num_queries(6):
        assert client.get(path).status_code == 200


ANSWERED = {
    "/health/detailed": "/health/detailed",
    "/markets": "/markets",
    "/predictions?limit=3": "/predictions",
    "/signals?limit=3": "/signals",
    "/candles?symbol=BTCUSDT&limit=3": "/candles",
    "/candles/quality?symbol=BTCUSDT": "/candles/quality",
    "/indicators?symbol=BTCUSDT&limit=3": "/indicators",
    "/indicators/catalog": "/indicators/catalog",
    "/models": "/models",
    "/models/status": "/models/status",
    "/track-record": "/track-record",
}


def test_answers_conform_to_the_schema(caller, engine):
    import yaml
    from openapi_schema_validator import OAS30Validator

    from mlengine_project.http.schema import schema_bytes

    schema = yaml.safe_load(schema_bytes())
    client = caller("read")
    for request, path in ANSWERED.items():
        promised = schema["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        response = client.get(request)
        assert response.status_code == 200
        OAS30Validator({**promised, "components": schema["components"]}).validate(response.json())
    predictor = caller("predict")
    for path, body in {
        "/predictions": {"symbol": "BTCUSDT", "horizon": 6},
        "/signals": {"symbol": "BTCUSDT"},
        "/touches": {"symbol": "BTCUSDT", "horizon": 6, "prices": [1, "2"]},
        "/brackets": {"symbol": "BTCUSDT", "side": "buy", "horizon": 6, "take_profit": 10**6, "stop_loss": "1"},
        "/ws-tickets": None,
    }.items():
        response = predictor.post(path, body, **JSON)
        promised = schema["paths"][path]["post"]["responses"][str(response.status_code)]["content"]["application/json"]
        OAS30Validator({**promised["schema"], "components": schema["components"]}).validate(response.json())
