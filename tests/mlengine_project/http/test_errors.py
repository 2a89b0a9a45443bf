"""Every exception becomes a standard error answer, and a missing service is never a 500."""

import json

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.http import Http404
from redis import ConnectionError as RedisAway

from indicators.errors import FeatureError, MLEngineError, UnknownIndicator
from marketdata.errors import ExchangeBanned, ExchangeUnavailable, MarketDataError, MarketDisabled, UnknownSymbol
from marketdata.models import Market
from marketdata.process_state import process_state
from mlengine_project.access.errors import InvalidAPIKey, KeyStoreUnavailable, TooManyWrongKeys
from mlengine_project.http.errors import answer_for
from mlengine_project.operations.monitoring.health import Readiness
from modelregistry.errors import ModelLoadError, ModelNotFoundError
from predictions import services
from predictions.errors import InvalidRequest, PredictionError, PredictionRefused
from predictions.live.cache import cache
from signals.errors import SignalPending

JSON = {"content_type": "application/json"}
KNOWN = [
    (UnknownSymbol("x"), 400, "ValidationError"),
    (UnknownIndicator("x"), 400, "ValidationError"),
    (InvalidRequest({"symbol": ["x"]}), 400, "ValidationError"),
    (InvalidAPIKey(), 401, "InvalidAPIKey"),
    (TooManyWrongKeys(3), 429, "RateLimitExceeded"),
    (KeyStoreUnavailable("x"), 503, "ServiceUnavailable"),
    (MarketDisabled("x"), 409, "MarketDisabled"),
    (PredictionRefused(["WARMUP"]), 503, "PredictionRefused"),
    (SignalPending("x"), 503, "ServiceUnavailable"),
    (ModelNotFoundError("x"), 503, "ModelNotFoundError"),
    (ModelLoadError("x"), 503, "ModelLoadError"),
    (MarketDataError("x"), 503, "MarketDataError"),
    (ExchangeUnavailable("x"), 503, "MarketDataError"),
    (ExchangeBanned(1), 503, "MarketDataError"),
    (FeatureError("x"), 503, "FeatureError"),
    (PredictionError("x"), 500, "PredictionError"),
    (MLEngineError("x"), 500, "MLEngineError"),
    (Http404(), 404, "NotFound"),
    (PermissionDenied(), 403, "PermissionDenied"),
    (RequestDataTooBig(), 413, "PayloadTooLarge"),
    (SuspiciousOperation(), 400, "ValidationError"),
    (ValidationError("x"), 400, "ValidationError"),
    (RecursionError(), 400, "ValidationError"),
    (OperationalError("x"), 503, "ServiceUnavailable"),
    (InterfaceError("x"), 503, "ServiceUnavailable"),
    (DatabaseError("x"), 503, "ServiceUnavailable"),
    (RedisAway("x"), 503, "ServiceUnavailable"),
    (ValueError("secret detail"), 500, "MLEngineError"),
    (KeyError("secret detail"), 500, "MLEngineError"),
]


@pytest.mark.parametrize(("error", "status", "name"), KNOWN, ids=lambda value: type(value).__name__)
def test_every_error_has_its_status_and_name(error, status, name):
    answer = answer_for(error)
    assert (answer.status, answer.error) == (status, name)
    assert answer.message
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert set(answer.body("/p", "id")) - {"details", "reasons"} == {"error", "message", "path", "request_id"}


def test_unexpected_error_shows_no_details():
    assert "secret detail" not in str(answer_for(ValueError("secret detail")).body("/p", "id"))


def test_refusal_has_reasons_and_retry_after():
    answer = answer_for(PredictionRefused(["STALE_DATA", "GAP_IN_WINDOW"], "too old", 17))
    assert answer.body("/p", "id")["reasons"] == ["STALE_DATA", "GAP_IN_WINDOW"]
    assert answer.headers == {"Retry-After": "17"}


@pytest.fixture
def client(caller):
    Market.objects.create(symbol="BTCUSDT", source="simulated")
    client = caller("admin")
    client.get("/markets")  # the key is cached from here on
    return client


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error", [ValueError("secret"), RecursionError("deep"), MemoryError()], ids=repr)
def test_internal_error_shows_no_traceback_with_or_without_debug(client, settings, monkeypatch, debug, error):
    def fail(*_, **__):
        raise error

    settings.DEBUG = debug
    monkeypatch.setattr(services, "latest_prediction", fail)
    response = client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON)
    payload = response.json()
    assert response.status_code == (400 if isinstance(error, RecursionError) else 500)
    assert payload["request_id"] == response["X-Request-ID"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text


def test_internal_error_outside_rest_shows_no_traceback(client, settings, monkeypatch):
    from mlengine_project.http import schema_pages

    def fail():
        raise ValueError("secret")

    monkeypatch.setattr(schema_pages, "schema_bytes", fail)
    for settings.DEBUG in (False, True):
        response = client.get("/schema")
        assert (response.status_code, response.json()["error"]) == (500, "MLEngineError")
        assert "secret" not in response.text
        page = client.get("/schema", headers={"Accept": "text/html", "X-API-Key": ""})
        assert page.status_code == 500
        assert "secret" not in page.text


def test_browser_gets_a_page_and_a_program_json(client, anonymous_client):
    page = anonymous_client.get("/nope", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing here" in page.text
    assert anonymous_client.get("/nope").json()["error"] == "NotFound"


PATHS = [
    "/markets", "/predictions", "/predictions?latest=true", "/predictions/00000000-0000-0000-0000-000000000000", "/signals",
    "/models", "/models/status", "/candles?symbol=BTCUSDT", "/candles/quality?symbol=BTCUSDT", "/indicators?symbol=BTCUSDT",
    "/jobs/00000000-0000-0000-0000-000000000000", "/track-record",
]  # fmt: skip


@pytest.fixture
def database_away(client, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connection to server at 10.1.2.3 refused, password=swordfish")

    with monkeypatch.context() as patch:
        for way in ("cursor", "chunked_cursor"):
            patch.setattr(connections["default"], way, refuse)
        yield


@pytest.mark.parametrize("path", PATHS)
def test_reads_without_a_database_are_503(client, database_away, path):
    response = client.get(path)
    assert (response.status_code, response.json()["error"]) == (503, "ServiceUnavailable")
    assert int(response["Retry-After"]) > 0
    assert "swordfish" not in response.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predictions", {"symbol": "BTCUSDT", "horizon": 6}),
        ("/signals", {"symbol": "BTCUSDT"}),
        ("/touches", {"symbol": "BTCUSDT", "horizon": 6, "prices": [1]}),
        ("/ws-tickets", {}),
    ],
)
def test_posts_without_a_database_are_503(client, database_away, path, body):
    response = client.post(path, body, **JSON)
    assert (response.status_code, response.json()["error"]) == (503, "ServiceUnavailable")


def test_unknown_key_without_a_database_is_503(client, database_away, anonymous_client):
    response = anonymous_client.get("/markets", headers={"X-API-Key": "never seen"})
    assert (response.status_code, response.json()["error"]) == (503, "ServiceUnavailable")
    assert anonymous_client.get("/markets").status_code == 401


def test_health_reports_a_missing_database(client, database_away, monkeypatch):
    from mlengine_project.operations.monitoring import health

    monkeypatch.setattr(health, "_database_answers", lambda: False)
    process_state.drop(Readiness)
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "causes": ["database"]})
    assert client.get("/health").json() == {"status": "healthy"}
    detailed = client.get("/health/detailed")
    assert (detailed.status_code, detailed.json()["status"]) == (200, "unhealthy")
    assert "swordfish" not in detailed.text
    assert b"ml_database_up 0.0" in client.get("/metrics").content


def test_without_a_cache_requests_succeed_and_health_is_degraded(client, monkeypatch):
    def refuse(*_, **__):
        raise RedisAway("refused")

    for name in ("get", "set", "get_many", "set_many", "delete"):
        monkeypatch.setattr(cache, name, refuse)
    detailed = client.get("/health/detailed").json()
    assert detailed["cache"]["status"] == "degraded"
    assert detailed["status"] == "degraded"
    refused = client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON)
    assert (refused.status_code, refused.json()["reasons"]) == (503, ["NO_CHAMPION"])


def test_without_a_champion_horizons_are_validated_then_refused(client):
    assert client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 7}, **JSON).status_code == 400
    refused = client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 72}, **JSON)
    payload = json.loads(refused.content)
    assert (refused.status_code, payload["error"], payload["reasons"]) == (503, "PredictionRefused", ["NO_CHAMPION"])
    assert int(refused["Retry-After"]) > 0
    pending = client.post("/signals", {"symbol": "BTCUSDT"}, **JSON)
    assert (pending.status_code, pending.json()["error"]) == (503, "ServiceUnavailable")
