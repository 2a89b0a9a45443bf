"""Rate limit and CORS rules of the API."""

import pytest

from marketdata.models import Market

JSON = {"content_type": "application/json"}
ORIGIN = "http://localhost:3000"


@pytest.fixture
def client(caller, settings):
    settings.RATE_LIMIT = 5
    Market.objects.create(symbol="BTCUSDT", source="simulated")
    return caller("admin")


def test_one_bucket_for_everything_under_predictions(client):
    requests = [
        lambda: client.get("/predictions"),
        lambda: client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON),
        lambda: client.get("/predictions/00000000-0000-0000-0000-000000000000"),
        lambda: client.post("/predictions", b"{", **JSON),
        lambda: client.get("/predictions?latest=true"),
    ]
    assert [send_request().status_code for send_request in requests] == [200, 503, 404, 400, 200]
    for send_request in requests:
        refused = send_request()
        payload = refused.json()
        assert (refused.status_code, payload["error"]) == (429, "RateLimitExceeded")
        assert 1 <= int(refused["Retry-After"]) <= 60
        assert refused["RateLimit"].startswith('"predictions";r=0;t=')
    assert client.get("/signals").status_code == 200, "only /predictions is counted"


def test_every_key_has_its_own_bucket(client, caller):
    for _ in range(6):
        client.get("/predictions")
    assert client.get("/predictions").status_code == 429
    assert caller("read").get("/predictions").status_code == 200


def test_headers_report_the_remaining_calls(client):
    first = client.get("/predictions")
    assert first["RateLimit-Policy"] == '"predictions";q=5;w=60'
    assert [client.get("/predictions")["RateLimit"].split(";")[1] for _ in range(3)] == ["r=3", "r=2", "r=1"]
    assert "RateLimit" not in client.get("/signals")


def test_unauthenticated_and_forbidden_calls_are_not_counted(client, caller, anonymous_client):
    reader = caller("read")
    for _ in range(8):
        assert anonymous_client.get("/predictions").status_code == 401
        assert reader.post("/predictions", {}, **JSON).status_code == 403
    assert reader.get("/predictions").status_code == 200


def test_zero_is_no_limit(client, settings):
    settings.RATE_LIMIT = 0
    responses = [client.get("/predictions") for _ in range(12)]
    assert {response.status_code for response in responses} == {200}
    assert "RateLimit" not in responses[0]


def test_allowed_origin_passes_and_another_does_not(client, anonymous_client):
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type,x-request-id,idempotency-key",
    }
    allowed = anonymous_client.options("/predictions", headers=preflight)
    assert (allowed.status_code, allowed["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    names = {name.strip() for name in allowed["Access-Control-Allow-Headers"].split(",")}
    assert names == {"x-api-key", "x-request-id", "idempotency-key", "content-type"}
    assert "Access-Control-Allow-Credentials" not in allowed
    other = anonymous_client.options("/predictions", headers={**preflight, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other


@pytest.mark.parametrize("path", ["/predictions", "/nope", "/candles?symbol=NOPE"])
def test_a_browser_may_read_answers_and_errors_with_their_headers(client, path):
    response = client.get(path, headers={"Origin": ORIGIN})
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    exposed = {name.strip() for name in response["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"Retry-After", "RateLimit", "X-Request-ID"}
