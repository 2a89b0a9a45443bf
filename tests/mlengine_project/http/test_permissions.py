"""Permissions of every path for every kind of caller."""

import pytest

pytestmark = pytest.mark.django_db

OPEN = ["/health", "/health/ready", "/schema", "/docs", "/redoc"]
READ = [
    "/health/detailed",
    "/markets",
    "/predictions",
    "/predictions/1",
    "/signals",
    "/signals/1",
    "/models",
    "/models/1",
    "/models/status",
    "/candles?symbol=BTCUSDT",
    "/candles/quality?symbol=BTCUSDT",
    "/indicators?symbol=BTCUSDT",
    "/indicators/catalog",
    "/track-record",
    "/jobs",
    "/jobs/1",
    "/metrics",
]
PREDICT = ["/predictions", "/signals", "/brackets", "/touches"]
ADMIN = ["/jobs", "/jobs/1/cancel"]
LOCKED = [("get", path) for path in READ] + [("post", path) for path in [*PREDICT, *ADMIN, "/ws-tickets"]]
WRONG = [None, "", "wrong", "mle_00000000_wrong", "x" * 5000, "\x00", "a,b", "null", "ключ".encode().decode("latin-1")]


@pytest.mark.parametrize("path", OPEN)
def test_open_paths_need_no_key(anonymous_client, path):
    assert anonymous_client.get(path).status_code in {200, 503}


@pytest.mark.parametrize(("method", "path"), LOCKED)
@pytest.mark.parametrize("key", WRONG, ids=lambda key: repr(key)[:20])
def test_wrong_key_gets_401_and_no_other_information(anonymous_client, method, path, key):
    headers = {} if key is None else {"X-API-Key": key}
    response = getattr(anonymous_client, method)(path, headers=headers)
    payload = response.json()
    assert response.status_code == 401
    assert payload["error"] == "InvalidAPIKey"
    assert payload["message"] == "Invalid API Key"
    assert payload["path"] == path.split("?")[0]
    assert payload["request_id"] == response["X-Request-ID"]
    assert "WWW-Authenticate" in response


@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_admin_key_may_use_every_path(caller, method, path):
    assert getattr(caller("admin"), method)(path).status_code not in {401, 403}


@pytest.mark.parametrize("path", ADMIN)
def test_predict_scope_does_not_include_admin(caller, path):
    assert caller("predict").post(path, {}, content_type="application/json").status_code == 403


@pytest.mark.parametrize("path", PREDICT)
def test_read_scope_does_not_include_predict(caller, path):
    response = caller("read").post(path, {"symbol": "BTCUSDT"}, content_type="application/json")
    assert response.status_code == 403
    assert response.json()["error"] == "PermissionDenied"
    assert caller("predict").post(path, {}, content_type="application/json").status_code not in {401, 403}


@pytest.mark.parametrize("path", READ)
def test_read_scope_may_read(caller, path):
    assert caller("read").get(path).status_code not in {401, 403, 405, 500}


@pytest.mark.parametrize("place", ["/markets?api_key={}", "/markets?X-API-Key={}", "/markets?key={}"])
def test_key_in_the_url_is_refused(caller, anonymous_client, place):
    assert anonymous_client.get(place.format(caller("admin").secret)).status_code == 401


def test_key_as_bearer_or_cookie_is_refused(caller, anonymous_client):
    secret = caller("admin").secret
    anonymous_client.cookies["X-API-Key"] = secret
    assert anonymous_client.get("/markets", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_metrics_token_is_valid_for_metrics_only(anonymous_client, settings):
    settings.METRICS_TOKEN = "a token for prometheus"
    bearer = {"Authorization": "Bearer a token for prometheus"}
    assert anonymous_client.get("/metrics", headers=bearer).status_code == 200
    assert anonymous_client.get("/markets", headers=bearer).status_code == 401
    assert anonymous_client.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 401
    settings.METRICS_TOKEN = ""
    assert anonymous_client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_wrong_keys_of_one_address_get_429_and_missing_keys_are_not_counted(anonymous_client, caller):
    for _ in range(120):
        assert anonymous_client.get("/markets").status_code == 401
    statuses = [anonymous_client.get("/markets", headers={"X-API-Key": "wrong"}).status_code for _ in range(102)]
    assert statuses == [401] * 100 + [429] * 2
    refused = anonymous_client.get("/markets", headers={"X-API-Key": "wrong"})
    assert refused.json()["error"] == "RateLimitExceeded"
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert caller("read").get("/markets").status_code == 200


def test_forwarded_address_does_not_change_the_counted_address(anonymous_client):
    statuses = [
        anonymous_client.get("/markets", headers={"X-API-Key": "wrong", "X-Forwarded-For": f"10.0.0.{n}"}).status_code
        for n in range(101)
    ]
    assert statuses[-1] == 429


def test_read_scope_may_create_a_ticket(caller):
    response = caller("read").post("/ws-tickets")
    assert response.status_code == 201
    assert set(response.json()) == {"ticket", "expires_at"}
