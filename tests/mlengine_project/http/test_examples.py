"""Examples of the schema: recorded requests and answers of a running engine.

`WRITE_EXAMPLES=1 uv run pytest tests/mlengine_project/http/test_examples.py` records them again.
"""

import os

import orjson
import pytest
from openapi_schema_validator import OAS30Validator

from marketdata.process_state import process_state
from mlengine_project.http.schema import EXAMPLES, openapi_document
from mlengine_project.operations.monitoring import health
from mlengine_project.operations.monitoring.health import Readiness
from signals.models import SignalLog
from tests.mlengine_project.http.conftest import NEWEST

JSON = {"content_type": "application/json"}
UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
REQUESTS = {
    "get_health": "/health",
    "get_health_ready": "/health/ready",
    "get_health_detailed": "/health/detailed",
    "get_markets": "/markets",
    "get_predictions": "/predictions?symbol=BTCUSDT&limit=1",
    "get_track_record": "/track-record",
    "get_signals": "/signals?symbol=BTCUSDT&after=0&limit=1",
    "get_candles": f"/candles?symbol=BTCUSDT&from={NEWEST - 300_000}&limit=2",
    "get_candles_quality": "/candles/quality?symbol=BTCUSDT",
    "get_indicators": "/indicators?symbol=BTCUSDT&names=rsi_14,macd&limit=2",
    "get_models": "/models?kind=range_predictor&limit=1",
    "get_models_status": "/models/status",
}
MAX_LIST_ENTRIES = 1
"""Entries of a long list that are kept in an example."""


@pytest.fixture
def answers(caller, engine, champions, settings, monkeypatch):
    """The engine's answers by operation: (request, status, body)."""
    # Runs in this thread: another one does not see the rows of a test's transaction.
    monkeypatch.setattr(health, "_causes_in_time", health._causes)
    process_state.drop(Readiness)
    settings.RATE_LIMIT = 0
    client = caller("admin")
    found = {name: (None, client.get(path)) for name, path in REQUESTS.items()}
    prediction = found["get_predictions"][1].json()["results"][0]
    close = float(prediction["current_price"])
    market = {"symbol": "BTCUSDT"}
    bracket = {"side": "buy", "take_profit": f"{close * 1.01:.2f}", "stop_loss": f"{close * 0.99:.2f}"}
    prices = [f"{close * 1.005:.2f}", f"{close * 0.995:.2f}"]
    posted = {
        "post_predictions": ("/predictions", {**market, "horizon": 6}),
        "post_signals": ("/signals", market),
        "post_brackets": ("/brackets", {**market, "horizon": 18, **bracket}),
        "post_touches": ("/touches", {**market, "horizon": 18, "prices": prices}),
        "post_ws_tickets": ("/ws-tickets", None),
    }
    found |= {name: (body, client.post(path, body or {}, **JSON)) for name, (path, body) in posted.items()}
    found["get_predictions_id"] = (None, client.get(f"/predictions/{prediction['id']}"))
    found["get_signals_id"] = (None, client.get(f"/signals/{SignalLog.objects.first().pk}"))
    found["get_models_id"] = (None, client.get(f"/models/{champions['tpsl_classifier'].pk}"))
    found["get_indicators_catalog"] = (None, client.get("/indicators/catalog"))
    refused = {
        "post_predictions": {
            "400": client.post("/predictions", {**market, "horizon": 7}, **JSON),
            "405": client.delete("/predictions"),
            "415": client.post("/predictions", b"x", content_type="text/plain"),
        },
        "get_predictions_id": {"404": client.get(f"/predictions/{UNKNOWN_ID}")},
        "get_candles": {"400": client.get("/candles?symbol=BTCUSDT&intervall=1h")},
    }
    return found, refused


def shown(name, body):
    """A body with shortened lists and replaced secrets."""
    if name == "post_ws_tickets":
        body["ticket"] = "x" * len(body["ticket"])
    if name == "get_indicators_catalog":
        body["results"] = body["results"][:MAX_LIST_ENTRIES]
    return body


def taken(answers):
    found, refused = answers
    kept = {}
    for name, (body, response) in sorted(found.items()):
        assert response.status_code < 300, (name, response.content)
        kept[name] = {"responses": {str(response.status_code): shown(name, response.json())}}
        kept[name] |= {"request": body} if body else {}
        for status, refusal in refused.get(name, {}).items():
            assert str(refusal.status_code) == status, (name, refusal.content)
            kept[name]["responses"][status] = refusal.json()
    return kept


def shape_of(value):
    """Names and types of a body, without its values."""
    if isinstance(value, dict):
        return {name: shape_of(item) for name, item in value.items() if name not in {"report", "metrics"}}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    return "value"


def with_reports(kept):
    """Keep the recorded reports, since this engine has no training."""
    before = orjson.loads(EXAMPLES.read_bytes()) if EXAMPLES.exists() else {}
    for name, example in kept.items():
        for status, body in example["responses"].items():
            old = before.get(name, {}).get("responses", {}).get(status, {})
            for new_row, old_row in zip(rows_of(body), rows_of(old), strict=False):
                for field in ("report", "metrics"):
                    if old_row.get(field):
                        new_row[field] = old_row[field]
    return kept


def rows_of(body):
    return [body, *(body.get("results") or []), *(part for part in body.values() if isinstance(part, dict))]


def test_examples_have_the_shape_of_the_engines_answers(answers):
    kept = taken(answers)
    if os.environ.get("WRITE_EXAMPLES"):
        EXAMPLES.write_bytes(orjson.dumps(with_reports(kept), option=orjson.OPT_INDENT_2) + b"\n")
    written = orjson.loads(EXAMPLES.read_bytes())
    assert set(written) == set(kept), "record the examples again"
    for name, example in kept.items():
        assert set(written[name]["responses"]) == set(example["responses"]), name
        for status, body in example["responses"].items():
            if "health" not in name:  # the parts of an engine depend on where it runs
                assert shape_of(written[name]["responses"][status]) == shape_of(body), (name, status)


def test_every_example_conforms_to_the_schema():
    schema = openapi_document()
    components = {"components": schema["components"]}
    n_checked = 0
    for item in schema["paths"].values():
        for operation in item.values():
            bodies = list(operation["responses"].items())
            if "requestBody" in operation:
                bodies.append(("request", operation["requestBody"]))
            for _status, part in bodies:
                for media in part.get("content", {}).values():
                    if "example" in media:
                        OAS30Validator({**media["schema"], **components}).validate(media["example"])
                        n_checked += 1
            ours = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
            assert "example" in ours or not ours or "jobs" in operation["operationId"], operation["operationId"]
    assert n_checked >= 25
