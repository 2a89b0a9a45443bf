"""Invalid and malicious requests: each gets a documented 4xx in the standard form."""

import pytest
from django.test import Client

from marketdata.models import Market
from predictions.models import PredictionLog

GOOD = b'"symbol": "BTCUSDT"'
BODIES = {
    "empty": b"",
    "not json": b"hello",
    "half an object": b'{"symbol": "BTCUSDT"',
    "a list": b"[]",
    "a list of the fields": b'["BTCUSDT", 6]',
    "a string": b'"BTCUSDT"',
    "a number": b"6",
    "null": b"null",
    "true": b"true",
    "an empty object": b"{}",
    "no horizon": b"{" + GOOD + b"}",
    "no symbol": b'{"horizon": 6}',
    "NaN": b"{" + GOOD + b', "horizon": NaN}',
    "Infinity": b"{" + GOOD + b', "horizon": -Infinity}',
    "a number beyond floats": b"{" + GOOD + b', "horizon": 1e400}',
    "five thousand digits": b"{" + GOOD + b', "horizon": ' + b"6" * 5000 + b"}",
    "a huge whole number": b"{" + GOOD + b', "horizon": 18446744073709551616}',
    "minus one": b"{" + GOOD + b', "horizon": -1}',
    "zero": b"{" + GOOD + b', "horizon": 0}',
    "a float": b"{" + GOOD + b', "horizon": 6.0}',
    "a number as text": b"{" + GOOD + b', "horizon": "6"}',
    "true as a number": b"{" + GOOD + b', "horizon": true}',
    "underscored digits": b"{" + GOOD + b', "horizon": "1_8"}',
    "Arabic digits": b"{" + GOOD + ', "horizon": "\u0666"}'.encode(),
    "null horizon": b"{" + GOOD + b', "horizon": null}',
    "a list as horizon": b"{" + GOOD + b', "horizon": [6]}',
    "unknown horizon": b"{" + GOOD + b', "horizon": 7}',
    "a thousand opening brackets": b"[" * 1000,
    "a hundred thousand opening brackets": b"[" * 100_000,
    "deep and well formed": b'{"symbol": ' + b"[" * 500 + b"]" * 500 + b', "horizon": 6}',
    "forty thousand objects deep": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "bad UTF-8": b'{"symbol": "BTC\xff\xfeUSDT", "horizon": 6}',
    "UTF-16": '{"symbol": "BTCUSDT", "horizon": 6}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{" + GOOD + b', "horizon": 6}',
    "a lone surrogate": b'{"symbol": "\\ud800", "horizon": 6}',
    "an encoded surrogate": b'{"symbol": "\xed\xa0\x80", "horizon": 6}',
    "NUL in the symbol": b'{"symbol": "BTCUSDT\\u0000", "horizon": 6}',
    "a raw NUL": b'{"symbol": "BTC\x00USDT", "horizon": 6}',
    "NUL in a name": b"{" + GOOD + b', "horizon": 6, "\\u0000": 1}',
    "NUL in a list": b"{" + GOOD + b', "horizon": 6, "more": ["a\\u0000"]}',
    "a control character": b'{"symbol": "BTC\\u0007", "horizon": 6}',
    "the other direction": '{"symbol": "\u202eTDSUCTB", "horizon": 6}'.encode(),
    "full-width letters": '{"symbol": "\uff22\uff34\uff23\uff35\uff33\uff24\uff34", "horizon": 6}'.encode(),
    "lower case": b'{"symbol": "btcusdt", "horizon": 6}',
    "a space": b'{"symbol": " BTCUSDT", "horizon": 6}',
    "a long symbol": b'{"symbol": "' + b"B" * 5000 + b'", "horizon": 6}',
    "an empty symbol": b'{"symbol": "", "horizon": 6}',
    "a number as symbol": b'{"symbol": 1, "horizon": 6}',
    "an object as symbol": b'{"symbol": {"$ne": ""}, "horizon": 6}',
    "SQL": b'{"symbol": "BTCUSDT\'; DROP TABLE candles;--", "horizon": 6}',
    "a path": b'{"symbol": "../../etc/passwd", "horizon": 6}',
    "a repeated field": b"{" + GOOD + b', "symbol": "NOPE", "horizon": 6}',
    "two documents": b"{" + GOOD + b', "horizon": 6}{}',
    "pickle": b"\x80\x04N.",
}
QUERIES = [
    "/predictions?limit=0", "/predictions?limit=-1", "/predictions?limit=1000000000", "/predictions?limit=1_0",
    "/predictions?limit=%D9%A3", "/predictions?limit=", "/predictions?limit=1e3", "/predictions?limit=5.0",
    "/predictions?cursor=", "/predictions?cursor=abc", "/predictions?cursor=cD0yMDI0", "/predictions?cursor=%00",
    "/predictions?symbol=NOPE", "/predictions?symbol=%00", "/predictions?symbol=", "/predictions?horizon=7",
    "/predictions?horizon=true", "/predictions?horizon=6.0", "/predictions?horizon=%D9%A6", "/predictions?horizon=99999999999999999999",
    "/predictions?latest=maybe", "/predictions?from=yesterday", "/predictions?from=0001-01-01", "/predictions?to=9999-12-31T23:59:59Z",
    "/predictions?from=2024-01-02&to=2024-01-01", "/predictions?from=1704067200", "/predictions?from=1704067200000000",
    "/predictions?from=99999999999999999999999999", "/predictions?from=NaN", "/predictions?from=-1", "/predictions?from=%D9%A1",
    "/candles", "/candles?symbol=NOPE", "/candles?symbol=BTCUSDT%00", "/candles?symbol=btcusdt", "/candles?symbol=BTCUSDT&limit=1001",
    "/candles?symbol=BTCUSDT&from=2024-02-30", "/candles?symbol=BTCUSDT&from=2024-01-01T25:00", "/candles?symbol=BTCUSDT&cursor=x",
    "/candles?symbol=BTCUSDT&from=0001-01-01T00:00:00%2B23:59", "/candles/quality", "/candles/quality?symbol=NOPE",
    "/candles/quality?symbol=BTCUSDT&from=x", "/indicators", "/indicators?symbol=NOPE", "/indicators?symbol=BTCUSDT&names=no_such",
    "/indicators?symbol=BTCUSDT&names=%00", "/indicators?symbol=BTCUSDT&names=../x", "/indicators?symbol=BTCUSDT&limit=0",
    "/indicators?symbol=BTCUSDT&limit=100000", "/indicators?symbol=BTCUSDT&names=" + "x" * 3000,
    "/signals?symbol=NOPE", "/signals?after=1", "/signals?symbol=BTCUSDT&after=-1", "/signals?symbol=BTCUSDT&after=x",
    "/signals?symbol=BTCUSDT&after=1e3", "/signals?signal_type=maybe", "/models?kind=../etc", "/models?stage=king",
    "/models/status?at=then", "/models/status?source=moon", "/markets?limit=0", "/markets?cursor=x",
]  # fmt: skip


@pytest.fixture
def client(caller, settings):
    settings.RATE_LIMIT = 0
    Market.objects.create(symbol="BTCUSDT", source="simulated")
    return caller("admin")


def check_form(response, path, error="ValidationError", status=400):
    payload = response.json()
    assert response.status_code == status, payload
    assert payload["error"] == error
    assert payload["path"] == path
    assert payload["request_id"] == response["X-Request-ID"]
    assert payload["message"]
    assert "Traceback" not in response.text
    assert 'File "' not in response.text


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["/predictions", "/signals", "/brackets", "/touches"])
def test_a_body_that_is_wrong_is_a_400(client, path, body):
    if path == "/signals" and body.startswith(b"{" + GOOD) and b'"symbol": "NOPE"' not in body:
        body = body.replace(b"BTCUSDT", b"NOPE")  # signals have no horizon field
    response = client.post(path, body, content_type="application/json")
    check_form(response, path)
    assert response.json()["details"]
    assert PredictionLog.objects.count() == 0


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:60])
def test_a_query_that_is_wrong_is_a_400(client, query):
    response = client.get(query)
    check_form(response, query.split("?")[0])
    assert response.json()["details"]


def test_very_large_seq_is_an_empty_page(client):
    assert client.get("/signals?symbol=BTCUSDT&after=999999999999999999").json()["results"] == []


@pytest.mark.parametrize(
    "prices",
    [[], "100", [True], [None], ["NaN"], ["Infinity"], ["1e400"], [1e-20], [0], [-1], ["-1"], [10**12], ["1" * 400],
     ["1_000"], ["\u0661"], [[1]], [{}], [""], [" 1"], ["0x10"], ["1e99"], [1] * 1001],
)  # fmt: skip
def test_invalid_prices_are_400(client, prices):
    response = client.post(
        "/touches", {"symbol": "BTCUSDT", "horizon": 6, "prices": prices}, content_type="application/json"
    )
    check_form(response, "/touches")
    assert "prices" in response.json()["details"]


@pytest.mark.parametrize("side", ["long", "BUY", "", None, 1, True, ["buy"], "buy\x00"])
def test_invalid_sides_are_400(client, side):
    body = {"symbol": "BTCUSDT", "side": side, "horizon": 6, "take_profit": 2, "stop_loss": 1}
    check_form(client.post("/brackets", body, content_type="application/json"), "/brackets")


def test_unknown_fields_are_named_and_the_idempotency_key_is_ignored(client):
    body = {"symbol": "BTCUSDT", "horizon": 6, "id": 1, "__class__": "x"}
    response = client.post(
        "/predictions", body, content_type="application/json", headers={"Idempotency-Key": "x" * 1000}
    )
    assert list(response.json()["details"]) == ["id", "__class__"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x", "application/json2",
     "application/json; charset=utf-16", "application/json; charset=latin-1", "application/json;" + "a=b;" * 100]
)  # fmt: skip
def test_another_content_type_is_415(client, content_type):
    check_form(
        client.post("/predictions", b"{}", content_type=content_type), "/predictions", "UnsupportedMediaType", 415
    )


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
def test_other_json_content_types_are_accepted(client, content_type):
    check_form(client.post("/predictions", b"{}", content_type=content_type), "/predictions")


@pytest.mark.parametrize("size", [256 * 1024 + 1, 8 * 1024 * 1024])
def test_a_large_body_is_413(client, size):
    body = b'{"symbol": "' + b"B" * size + b'"}'
    check_form(
        client.post("/predictions", body, content_type="application/json"), "/predictions", "PayloadTooLarge", 413
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", "/predictions"), ("delete", "/predictions"), ("patch", "/signals"), ("post", "/candles"), ("post", "/health"),
     ("delete", "/models/1"), ("get", "/brackets"), ("get", "/ws-tickets"), ("post", "/metrics")],
)  # fmt: skip
def test_unsupported_method_is_405(client, method, path):
    response = getattr(client, method)(path)
    check_form(response, path, "MethodNotAllowed", 405)
    assert response["Allow"]


@pytest.mark.parametrize("path", ["/predictions", "/health", "/docs", "/", "/console/sign-out", "/ws-tickets"])
def test_options_needs_no_key_and_is_not_counted(anonymous_client, path):
    response = anonymous_client.options(path)
    assert (response.status_code, response.content, response["Content-Length"]) == (200, b"", "0")
    assert response["Allow"].endswith("OPTIONS")
    assert "RateLimit" not in response


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_an_unknown_path_is_a_404_to_forms_too(settings, method):
    client = Client(enforce_csrf_checks=True)
    settings.ALLOWED_HOSTS = ["testserver"]
    check_form(getattr(client, method)("/nope", b"a=b", content_type="text/plain"), "/nope", "NotFound", 404)


def test_cross_site_form_gets_the_standard_error(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client(enforce_csrf_checks=True)
    check_form(client.post("/console/sign-in", {"username": "a"}), "/console/sign-in", "PermissionDenied", 403)
    assert "<html" in client.post("/console/sign-in", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("blanks", [" ", "\t", " \t "])
def test_blanks_around_a_key_are_ignored(client, blanks):
    given = {"X-API-Key": blanks + client.secret + blanks}
    assert client.get("/markets", headers=given).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nope", "/predictions/", "/health/", "/models/status/", "/..%2f..%2fetc/passwd", "/api/v1/predictions", "/.env", "/static/../manage.py", "/%00", "/\U0001f4a9"]
)  # fmt: skip
def test_unknown_path_is_404(client, anonymous_client, path):
    for caller in (client, anonymous_client):
        response = caller.get(path)
        assert (response.status_code, response.json()["error"]) == (404, "NotFound")


@pytest.mark.parametrize("accept", ["application/xml", "text/csv", "image/png", "nonsense", "*/*;q=0", ""])
def test_whatever_is_accepted_the_answer_is_json(client, accept):
    assert client.get("/markets", headers={"Accept": accept}).json()["results"]


@pytest.mark.parametrize("given", ["a b", "x" * 65, "<script>", "id\r\nSet-Cookie: a=b", "\u00e9", ""])
def test_a_malformed_request_id_is_replaced(client, given):
    response = client.get("/markets", headers={"X-Request-ID": given})
    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


def test_host_not_allowed_is_400(client, settings):
    settings.ALLOWED_HOSTS = ["elsewhere"]
    for debug in (False, True):
        settings.DEBUG = debug
        response = client.get("/markets")
        assert response.status_code == 400
        assert "Traceback" not in response.text
