"""Names and choices of a request: unknown ones are refused with the allowed ones."""

import json

import pytest
from django.urls import get_resolver

from mlengine_project.http.permissions import names_of
from tests.mlengine_project.http.conftest import NEWEST

JSON = {"content_type": "application/json"}
NAMED = {
    "/markets": ["cursor", "limit"],
    "/predictions": ["cursor", "from", "horizon", "latest", "limit", "symbol", "to"],
    "/predictions/00000000-0000-0000-0000-000000000000": [],
    "/signals": ["after", "cursor", "from", "limit", "signal_type", "symbol", "to"],
    "/signals/00000000-0000-0000-0000-000000000000": [],
    "/candles": ["cursor", "from", "interval", "limit", "symbol", "to"],
    "/candles/quality": ["from", "interval", "symbol", "to"],
    "/indicators": ["interval", "limit", "names", "symbol"],
    "/indicators/catalog": [],
    "/models": ["cursor", "kind", "limit", "source", "stage"],
    "/models/status": ["at", "source"],
    "/models/00000000-0000-0000-0000-000000000000": [],
    "/track-record": ["cursor", "horizon", "limit", "since", "symbol", "version"],
}
POSTED = {
    "/predictions": {"symbol": "BTCUSDT", "horizon": 6},
    "/signals": {"symbol": "BTCUSDT"},
    "/brackets": {"symbol": "BTCUSDT", "side": "buy", "horizon": 6, "take_profit": 10**6, "stop_loss": "1"},
    "/touches": {"symbol": "BTCUSDT", "horizon": 6, "prices": [1, "2"]},
    "/ws-tickets": {},
}


@pytest.fixture
def client(caller, engine, settings):
    settings.RATE_LIMIT = 0
    return caller("admin")


def invalid(response, field):
    payload = response.json()
    assert (response.status_code, payload["error"]) == (400, "ValidationError"), payload
    assert list(payload["details"]) == [field], payload
    assert all(isinstance(sentence, str) for sentence in payload["details"][field])
    assert payload["message"].startswith(f"{field}"), payload
    return payload["details"][field][0]


@pytest.mark.parametrize("path", NAMED)
def test_an_unknown_query_name_is_refused_with_those_that_are_known(client, path):
    query = "?symbol=BTCUSDT&" if "symbol" in NAMED[path] else "?"
    sentence = invalid(client.get(f"{path}{query}intervall=1h"), "intervall")
    assert all(name in sentence for name in NAMED[path]), sentence
    for name in NAMED[path]:
        answer = client.get(f"{path}{query}{name}=%00x").json()
        assert "Not a name" not in str(answer), (path, name)


@pytest.mark.parametrize("path", POSTED)
def test_a_post_takes_no_query_and_no_unknown_field(client, path):
    assert client.post(path, POSTED[path], **JSON).status_code < 300
    assert "takes none" in invalid(client.post(f"{path}?symbol=BTCUSDT", POSTED[path], **JSON), "symbol")
    sentence = invalid(client.post(path, {**POSTED[path], "horizont": 6}, **JSON), "horizont")
    assert all(name in sentence for name in POSTED[path])


@pytest.mark.parametrize(
    "path", ["/health", "/health/ready", "/health/detailed", "/metrics", "/schema", "/docs", "/redoc", "/"]
)
def test_health_metrics_and_pages_ignore_unknown_names(client, path):
    assert client.get(f"{path}?intervall=1h&x=1&x=2").status_code in {200, 302, 503}


def test_every_list_action_accepts_a_limit():
    entries = [
        entry
        for include in get_resolver().url_patterns
        if getattr(getattr(include, "urlconf_name", None), "__name__", "") == "mlengine_project.api"
        for entry in include.url_patterns
    ]
    lists = [entry for entry in entries if "list" in getattr(entry.callback, "actions", {}).values()]
    assert len(lists) >= 7
    for entry in lists:
        view = entry.callback.cls(**entry.callback.initkwargs)
        view.action, view.request = "list", None
        assert "limit" in names_of(view), entry.pattern


@pytest.mark.parametrize("query", ["limit=1&limit=2", "symbol=BTCUSDT&symbol=BTCUSDT", "cursor=a&cursor=b"])
def test_repeated_query_name_is_refused(client, query):
    name = query.split("=")[0]
    assert "2 times" in invalid(client.get(f"/predictions?{query}"), name)


def test_the_ledger_counts_stored_candles_only(client):
    assert client.get("/candles/quality?symbol=BTCUSDT&interval=5m").status_code == 200
    for other in ("1h", "5M", "", "5", "300000"):
        sentence = invalid(client.get(f"/candles/quality?symbol=BTCUSDT&interval={other}"), "interval")
        assert other == "" or sentence == "Write one of 5m."


@pytest.mark.parametrize(
    ("path", "body", "field", "choices"),
    [
        ("/brackets", {**POSTED["/brackets"], "side": "long"}, "side", "buy, sell"),
        ("/signals?signal_type=long", None, "signal_type", "buy, sell, hold"),
        ("/models?kind=range", None, "kind", "range_predictor, tpsl_classifier, signal_classifier"),
        ("/models?stage=king", None, "stage", "candidate, champion, retired"),
        ("/models?source=moon", None, "source", "exchange, simulated"),
        ("/models/status?source=moon", None, "source", "exchange, simulated"),
    ],
)
def test_invalid_choice_is_answered_with_the_choices(client, path, body, field, choices):
    response = client.get(path) if body is None else client.post(path, body, **JSON)
    assert invalid(response, field) == f"Write one of {choices}."


@pytest.mark.parametrize("bad", ["x", None, [], {}, -1, True])
def test_invalid_price_of_a_list_is_reported_with_field_and_index(client, bad):
    answer = client.post("/touches", {**POSTED["/touches"], "prices": [1, bad, 2]}, **JSON)
    assert invalid(answer, "prices").startswith("[1]: ")
    assert answer.json()["message"].startswith("prices[1]: ")


def test_too_many_parameters_are_a_query_error(client):
    response = client.get("/markets?" + "&".join(f"a{n}={n}" for n in range(1100)))
    assert "1000 parameters" in invalid(response, "query")
    assert "body" not in response.json()["message"]


@pytest.mark.parametrize(
    "sent", ["Bearer {key}", "bearer {key}", "ApiKey {key}", "{key}", "Basic {key}", "Bearer wrong"]
)
def test_key_in_another_header_is_answered_with_the_correct_header(client, anonymous_client, sent):
    answer = anonymous_client.get("/markets", headers={"Authorization": sent.format(key=client.secret)})
    payload = answer.json()
    assert (answer.status_code, payload["error"]) == (401, "InvalidAPIKey")
    assert "X-API-Key" in payload["message"]
    assert "Authorization" in payload["message"]
    assert client.secret not in answer.text


@pytest.mark.parametrize("name", ["api_key", "apikey", "X-API-Key", "key", "token", "access_token", "anything"])
def test_key_in_the_url_is_answered_with_the_correct_header(client, anonymous_client, name):
    answer = anonymous_client.get(f"/markets?{name}={client.secret}")
    assert answer.status_code == 401
    assert "X-API-Key" in answer.json()["message"]
    assert "address" in answer.json()["message"]
    assert client.secret not in answer.text


def test_wrong_and_missing_key_have_the_same_answer(anonymous_client):
    for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": "wrong", "Authorization": "Bearer x"}):
        assert anonymous_client.get("/markets", headers=headers).json()["message"] == "Invalid API Key"


def test_span_in_milliseconds_is_accepted(client):
    assert client.get(f"/candles?symbol=BTCUSDT&from={NEWEST}&interval=5m").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *((f"{path}?symbol=NOPE", None) for path, names in NAMED.items() if "symbol" in names),
        *((path, {**body, "symbol": "NOPE"}) for path, body in POSTED.items() if "symbol" in body),
    ],
)
def test_unknown_symbol_is_answered_with_the_known_ones(client, path, body):
    response = client.get(path) if body is None else client.post(path, body, **JSON)
    payload = response.json()
    assert (response.status_code, list(payload["details"])) == (400, ["symbol"]), payload
    assert "NOPE" in payload["message"]
    assert "BTCUSDT" in payload["message"]


@pytest.mark.parametrize("item", ["x", 1, {}])
@pytest.mark.parametrize("field", ["prices", "symbols", "kinds"])
def test_a_list_that_is_too_long_is_refused_before_its_items(client, field, item):
    """Validating 60,000 wrong prices one by one took ten seconds."""
    many = [item] * 60_000
    path = "/touches" if field == "prices" else "/jobs"
    body = (
        {**POSTED["/touches"], "prices": many}
        if field == "prices"
        else {"kind": "training", "arguments": {field: many}}
    )
    text = json.dumps(body, separators=(",", ":"))
    response = client.post(path, text, **JSON)
    assert response.status_code == 400
    assert len(response.content) < 1000, response.content[:300]
    assert "no more than" in response.json()["message"]


def test_an_answer_lists_a_bounded_number_of_unknown_names(client):
    response = client.post("/predictions", {f"k{n}": 1 for n in range(20_000)}, **JSON)
    assert response.status_code == 400
    assert 1 < len(response.json()["details"]) <= 20
