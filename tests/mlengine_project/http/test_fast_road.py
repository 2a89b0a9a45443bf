"""POST /predictions through the fast road and through Django: equal answers."""

import asyncio
import threading
import time
from types import SimpleNamespace

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application

from marketdata import clock
from marketdata.models import Market
from mlengine_project.access import services
from mlengine_project.access.models import ApiKey
from mlengine_project.http import fast_road
from mlengine_project.http.fast_road import FastRoad
from mlengine_project.http.limits import RequestLimits
from mlengine_project.operations.monitoring.counters import PREDICTIONS, measures
from modelregistry import registry
from predictions.errors import PredictionRefused
from predictions.live.answers import Answers
from predictions.live.cache import cache
from predictions.services import cached_prediction, latest_prediction
from signals.services import advance
from tests.champions import BEGIN, STEP, store_candles
from tests.mlengine_project.buckets import empty_buckets
from tests.modelregistry import champions as tiny

NEWEST = BEGIN - STEP

pytestmark = pytest.mark.django_db(transaction=True)  # the fast road reads in threads of its own

BODY = b'{"symbol": "BTCUSDT", "horizon": 6}'
JSON = (b"content-type", b"application/json")


def send_request(application, headers, **how):
    """One request through an ASGI application: status, headers and body."""
    return async_to_sync(exchange)(application, headers, **how)


def scope_of(headers, length=(), path="/predictions", method="POST", query=b""):
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "client": ("10.0.0.9", 1),
        "server": ("testserver", 80), "headers": [(b"host", b"testserver"), *length, *headers],
    }  # fmt: skip


async def exchange(application, headers, body=BODY, parts=(), **target):
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
    await application(scope_of(headers, length, **target), receive, send)
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
    assert paths.send_request()[3], "Django gives the first answer, from which the headers are recorded"
    return paths


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


def test_wrong_host_is_answered_by_django(paths, settings):
    settings.ALLOWED_HOSTS = ["elsewhere"]
    status, _, _, by_django = paths.send_request()
    assert (status, by_django) == (400, True)
    settings.ALLOWED_HOSTS = ["testserver"]
    assert not paths.send_request()[3]


def test_hit_needs_neither_thread_nor_database_nor_cache(paths, settings, monkeypatch):
    settings.RATE_LIMIT = 1000
    plain = [paths.send_request()[2] for _ in range(10)][-1]  # 1 + 2 + 4 calls, then 8 are reserved

    def refused(*_, **__):
        raise AssertionError("a hit used a thread")

    monkeypatch.setattr(fast_road, "_pool", SimpleNamespace(submit=refused))
    for _ in range(4):
        status, _, content, by_django = paths.send_request()
        assert (status, content, by_django) == (200, plain, False)


def test_answer_is_taken_from_the_log_when_the_cache_is_empty(paths):
    plain = paths.send_request()[2]
    cache.clear()
    paths.fast.answers = Answers()
    assert paths.send_request()[2:] == (plain, False)


def test_missing_answer_is_computed_once_for_all_who_wait(paths, monkeypatch):
    computed, release = [], threading.Event()

    def slow(symbol, horizon):
        computed.append((symbol, horizon))
        assert release.wait(10)
        return latest_prediction(symbol, horizon)

    monkeypatch.setattr(fast_road, "latest_prediction", slow)
    body = b'{"symbol": "ETHUSDT", "horizon": 18}'

    async def together():
        road = FastRoad(paths.counting_django)
        road.templates = paths.fast.templates
        requests = [asyncio.ensure_future(exchange(road, [paths.key, JSON], body=body)) for _ in range(20)]
        while not computed:
            await asyncio.sleep(0.01)
        requests[0].cancel()  # the caller who began the work may leave
        await asyncio.sleep(0.05)
        release.set()
        return await asyncio.gather(*requests[1:])

    before = paths.passed_on
    answers = async_to_sync(together)()
    assert computed == [("ETHUSDT", 18)]
    assert {status for status, _, _ in answers} == {200}
    assert len({content for _, _, content in answers}) == 1
    assert paths.passed_on == before


async def answers_soon(road, headers, bodies, seconds=30.0):
    """Answers delivered without a task, None where the request has to be started; False where none was promised."""
    await asyncio.to_thread(road.answers.renew)
    delivered = [asyncio.get_running_loop().create_future() for _ in bodies]
    found = []
    for body, future in zip(bodies, delivered, strict=True):
        is_coming = road.answer_soon(scope_of(headers), body, lambda finish, future=future: future.set_result(finish()))
        found.append(future if is_coming else False)
    return [one and await asyncio.wait_for(one, seconds) for one in found]


def test_missing_answer_is_delivered_without_a_task_to_all_who_wait(paths, monkeypatch):
    computed = []

    def counted(symbol, horizon):
        computed.append((symbol, horizon))
        return latest_prediction(symbol, horizon)

    for _ in range(8):  # the first calls reserve later ones
        paths.send_request()
    monkeypatch.setattr(fast_road, "SOON_SECONDS", 30.0)
    monkeypatch.setattr(fast_road, "latest_prediction", counted)
    body, unknown = (b'{"symbol": "%b", "horizon": 18}' % symbol for symbol in (b"ETHUSDT", b"OTHERUSDT"))
    found = async_to_sync(answers_soon)(paths.fast, [paths.key, JSON], [body, body, body, unknown])
    plain = send_request(paths.django, [paths.key, JSON], body=body)[2]
    assert computed == [("ETHUSDT", 18)]
    assert [one and one.content for one in found] == [plain, plain, plain, False]
    assert (b"content-length", b"%d" % len(plain)) in found[0].headers
    assert paths.fast.answer_now(scope_of([paths.key, JSON]), body).content == plain, "kept for the next"


def test_request_is_started_where_its_answer_takes_long(paths, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(fast_road, "SOON_SECONDS", 0.05)
    monkeypatch.setattr(fast_road, "latest_prediction", lambda *_: release.wait(10))
    try:
        assert async_to_sync(answers_soon)(
            paths.fast, [paths.key, JSON], [b'{"symbol": "ETHUSDT", "horizon": 36}']
        ) == [None]
    finally:
        release.set()


def test_request_is_started_where_its_answer_is_refused(paths, monkeypatch):
    def refused(*_):
        raise PredictionRefused(["GAP_IN_WINDOW"], "a candle is missing", 1)

    monkeypatch.setattr(fast_road, "latest_prediction", refused)
    found = async_to_sync(answers_soon)(paths.fast, [paths.key, JSON], [b'{"symbol": "ETHUSDT", "horizon": 36}'])
    assert found == [None]


def test_request_above_the_limit_is_started_and_counted_by_its_task(paths, settings):
    settings.RATE_LIMIT = 3
    empty_buckets()
    body = b'{"symbol": "ETHUSDT", "horizon": 72}'
    found = async_to_sync(answers_soon)(paths.fast, [paths.key, JSON], [body] * 9)
    assert found.count(None) >= 6
    statuses = [send_request(paths.fast, [paths.key, JSON], body=body)[0] for _ in range(4)]
    assert len(found) - found.count(None) + statuses.count(200) == 3
    assert statuses[-1] == 429


def test_answer_ends_with_its_candle(paths, engine):
    first = orjson.loads(paths.send_request()[2])
    for market in engine:
        store_candles(market, NEWEST + STEP, 1)
    engine[0].frozen.advance(STEP / 1000)
    between = orjson.loads(paths.send_request()[2])
    assert between["candle_time"] > first["candle_time"], "the newest stored candle"
    advance(engine)
    assert orjson.loads(paths.send_request()[2]) == between


def test_answer_between_a_close_and_its_candle_is_not_kept(paths, engine):
    first = paths.send_request()[2]
    engine[0].frozen.advance(STEP / 1000)
    assert paths.send_request()[2:] == (first, False), "valid for 15 seconds more"
    for market in engine:
        store_candles(market, NEWEST + STEP, 1)
    assert orjson.loads(paths.send_request()[2])["candle_time"] > orjson.loads(first)["candle_time"]


def test_answer_ends_with_its_market_within_a_second(paths, engine):
    assert not paths.send_request()[3]
    Market.objects.filter(symbol="BTCUSDT").update(enabled=False)
    engine[0].frozen.advance(1.0)
    status, _, _, by_django = paths.send_request()
    assert (status, by_django) == (409, True)


def test_promotion_ends_answers_within_a_second(paths, engine, champions):
    first = orjson.loads(paths.send_request()[2])
    candidate = tiny.candidate("range_predictor", seed=7, source="simulated")
    registry.promote(candidate, "test", "another one", override=True)
    engine[0].frozen.advance(1.0)
    deadline = time.monotonic() + 30
    while True:  # the champion in memory answers until the new one is loaded
        answer = orjson.loads(paths.send_request()[2])
        assert "model_versions" in answer, answer
        if answer["model_versions"] != first["model_versions"]:
            break
        assert answer == first
        assert time.monotonic() < deadline
        engine[0].frozen.advance(0.5)
        time.sleep(0.05)
    assert answer["model_versions"] == {**first["model_versions"], "range_predictor": str(candidate.pk)}
    assert answer["id"] != first["id"]


def test_key_is_verified_again_after_a_minute_and_a_revoked_one_refused(paths, engine):
    engine[0].frozen.advance(services.VERIFIED_SECONDS + 1)
    assert paths.send_request()[::3] == (200, False)
    ApiKey.objects.update(revoked_at=clock.wall_now())
    engine[0].frozen.advance(services.VERIFIED_SECONDS + 1)
    assert paths.send_request()[::3] == (401, True)
