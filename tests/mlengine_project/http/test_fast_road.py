"""POST /predictions through the fast road and through Django: equal answers."""

import asyncio

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.core import signals
from django.core.asgi import get_asgi_application
from django.db import close_old_connections

from mlengine_project.access import services
from mlengine_project.http.fast_road import FastRoad
from mlengine_project.http.limits import RequestLimits
from mlengine_project.operations.monitoring.counters import PREDICTIONS, measures
from predictions.live.cache import cache
from predictions.services import cached_prediction
from tests.mlengine_project.buckets import empty_buckets

BODY = b'{"symbol": "BTCUSDT", "horizon": 6}'
JSON = (b"content-type", b"application/json")


@async_to_sync
async def send_request(application, headers, body=BODY, path="/predictions", method="POST", query=b"", parts=()):
    """One request through an ASGI application: status, headers and body."""
    pieces = list(parts) or [body]
    sent = []

    async def receive():
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    chunked = b"transfer-encoding" in dict(headers)
    length = [] if chunked else [(b"content-length", str(sum(map(len, pieces))).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "client": ("10.0.0.9", 1),
        "server": ("testserver", 80), "headers": [(b"host", b"testserver"), *length, *headers],
    }  # fmt: skip
    await application(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], {name.lower(): value for name, value in sent[0]["headers"]}, content


class FastRoadPair:
    """The fast road in front of Django, with a count of requests passed on."""

    def __init__(self, secret):
        self.key = (b"x-api-key", secret.encode())
        self.passed_on, self.django = 0, get_asgi_application()
        self.fast = FastRoad(self.counting_django)

    async def counting_django(self, scope, receive, send):
        self.passed_on += 1
        await self.django(scope, receive, send)

    def send_request(self, *more, **how):
        """Send a request; the last value is whether Django answered it."""
        before = self.passed_on
        answer = send_request(self.fast, [self.key, JSON, *more], **how)
        return *answer, self.passed_on > before


@pytest.fixture
def paths(caller, engine, settings):
    settings.RATE_LIMIT = 100
    client = caller("predict")
    services.authenticate_key(client.secret)
    assert cached_prediction("BTCUSDT", 6), "the answer is in the cache"
    paths = FastRoadPair(client.secret)
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)  # they would close the connection of the test's transaction
    assert paths.send_request()[3], "Django gives the first answer, from which the headers are recorded"
    yield paths
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


def test_both_paths_give_the_same_bytes_and_headers(paths):
    given = (b"x-request-id", b"job-17")
    status, headers, content, by_django = paths.send_request(given)
    empty_buckets()
    slow_status, slow_headers, slow_content = send_request(paths.django, [paths.key, JSON, given])
    assert not by_django
    assert (status, content) == (slow_status, slow_content)
    assert set(headers) == set(slow_headers)
    for name in set(headers) - {b"ratelimit"}:
        assert headers[name] == slow_headers[name], name
    assert headers[b"x-request-id"] == b"job-17"
    assert b"content-security-policy" in headers


@pytest.mark.parametrize("pieces", [(BODY,), (BODY[:9], BODY[9:])])
def test_chunked_body_takes_the_fast_road(paths, pieces):
    plain = paths.send_request()[2]
    before = paths.passed_on
    status, _, content = send_request(
        RequestLimits(paths.fast), [paths.key, JSON, (b"transfer-encoding", b"chunked")], parts=pieces
    )
    assert (status, content, paths.passed_on) == (200, plain, before)


@pytest.mark.parametrize(
    "content_type", [b"application/json; charset=utf-16", b"text/plain", b"application/json;" * 30]
)
def test_another_content_type_is_415_on_both_paths(paths, content_type):
    given = (b"content-type", content_type)
    status, _, content = send_request(paths.fast, [paths.key, given])
    assert (status, orjson.loads(content)["error"]) == (415, "UnsupportedMediaType")


def test_both_paths_share_one_limit(paths, settings):
    settings.RATE_LIMIT = 6
    empty_buckets()
    remaining = []
    for n in range(6):
        application = paths.fast if n % 2 else paths.django
        _, headers, _ = send_request(application, [paths.key, JSON])
        remaining.append(headers[b"ratelimit"].split(b";")[1])
    assert remaining == [b"r=5", b"r=4", b"r=3", b"r=2", b"r=1", b"r=0"]
    status, headers, content, by_django = paths.send_request()
    assert (status, by_django) == (429, True)
    assert 1 <= int(headers[b"retry-after"]) <= 60
    assert orjson.loads(content)["error"] == "RateLimitExceeded"


def test_both_paths_count_their_answers(paths):
    series = (PREDICTIONS, "horizon=6,symbol=BTCUSDT")
    before = measures.pending()[series]
    paths.send_request()
    send_request(paths.django, [paths.key, JSON])
    assert measures.pending()[series] == before + 2


@pytest.mark.parametrize(
    "how",
    [
        {"body": b'{"symbol": "BTCUSDT", "horizon": 7}'},
        {"body": b'{"symbol": "BTCUSDT", "horizon": true}'},
        {"body": b'{"symbol": "BTCUSDT", "horizon": 6.0}'},
        {"body": b'{"symbol": "NOPE", "horizon": 6}'},
        {"body": b"[" * 900},
        {"body": b"{"},
        {"body": b""},
        {"body": b"\xff\xfe"},
        {"body": b'{"symbol": "BTCUSDT", "horizon": NaN}'},
        {"body": b" " * 2000 + BODY},
        {"parts": (BODY[:9], BODY[9:])},
        {"query": b"format=api"},
        {"method": "PUT"},
        {"path": "/signals"},
    ],
    ids=lambda how: str(how)[:40],
)
def test_request_that_is_not_plain_is_answered_by_django(paths, how):
    status, _, content, by_django = paths.send_request(**how)
    slow_status, _, slow_content = send_request(paths.django, [paths.key, JSON], **how)
    assert by_django
    assert status == slow_status
    if status >= 400:
        assert orjson.loads(content)["message"] == orjson.loads(slow_content)["message"]


@pytest.mark.parametrize(
    "header",
    [
        (b"origin", b"http://localhost:3000"),
        (b"cookie", b"sessionid=1"),
        (b"x-api-key", b"another"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"1.2.3.4"),
    ],
)
def test_request_with_another_header_is_answered_by_django(paths, header):
    assert paths.send_request(header)[3]


def test_read_scope_unknown_and_uncached_keys_are_answered_by_django(paths, caller):
    reader = caller("read")
    services.authenticate_key(reader.secret)
    paths.key = (b"x-api-key", reader.secret.encode())
    assert (paths.send_request()[0], paths.send_request()[3]) == (403, True)
    paths.key = (b"x-api-key", b"wrong")
    assert (paths.send_request()[0], paths.send_request()[3]) == (401, True)


def test_cache_miss_and_wrong_host_are_answered_by_django(paths, settings):
    settings.ALLOWED_HOSTS = ["elsewhere"]
    status, _, _, by_django = paths.send_request()
    assert (status, by_django) == (400, True)
    settings.ALLOWED_HOSTS = ["testserver"]
    cache.clear()
    assert paths.send_request()[3]
    assert not paths.send_request()[3], "Django has filled the cache again"
