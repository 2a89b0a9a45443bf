"""Reads answered by their action alone: equal to Django's answers, and fresh."""

from decimal import Decimal

import pytest
from django.core.asgi import get_asgi_application

from marketdata.models import Candle, Market
from mlengine_project.access import services
from mlengine_project.access.models import ApiKey
from mlengine_project.http.direct_reads import PATHS
from mlengine_project.http.django_handler import OneThreadHandler
from tests.mlengine_project.http.test_fast_road import send_request

pytestmark = pytest.mark.django_db(transaction=True)  # requests run in threads of their own

QUERY = {"/signals": b"limit=5", "/models/status": b"", "/candles": b"symbol=BTCUSDT&limit=9"}


class Reads:
    """The engine's handler with a count of the requests that Django answered."""

    def __init__(self, secret):
        self.key, self.by_django = (b"x-api-key", secret.encode()), 0
        self.handler = OneThreadHandler()
        inner = self.handler.get_response

        def counted(request):
            self.by_django += 1
            return inner(request)

        self.handler.get_response = counted

    def get(self, path, *more, query=None):
        """Status, headers, content, and whether Django answered."""
        before = self.by_django
        query = QUERY.get(path, b"symbol=BTCUSDT&limit=3") if query is None else query
        answer = send_request(self.handler, [self.key, *more], method="GET", path=path, query=query, body=b"")
        return *answer, self.by_django > before


@pytest.fixture
def reads(caller, engine, settings):
    found = Reads(caller("read").secret)
    for path in PATHS:
        assert found.get(path)[3], "Django gives the first answer, from which the headers are recorded"
    return found


@pytest.mark.parametrize("path", sorted(PATHS))
def test_direct_answer_is_django_s(reads, path):
    given = (b"x-request-id", b"job-17")
    status, headers, content, by_django = reads.get(path, given)
    slow_status, slow_headers, slow_content = send_request(
        get_asgi_application(), [reads.key, given], method="GET", path=path,
        query=QUERY.get(path, b"symbol=BTCUSDT&limit=3"), body=b"",
    )  # fmt: skip
    assert not by_django
    assert (status, headers) == (slow_status, slow_headers)
    if path != "/models/status":  # which holds the time
        assert content == slow_content
    assert headers[b"etag"]


@pytest.mark.parametrize("query", [b"symbol=NOPE", b"symbol=BTCUSDT&x=1", b"symbol=BTCUSDT&limit=0", b"symbol=%ff"])
def test_errors_are_django_s(reads, query):
    assert reads.get("/candles", query=query)[::3] == (400, True)


def test_condition_and_origin_are_django_s(reads):
    etag = reads.get("/signals")[1][b"etag"]
    assert reads.get("/signals", (b"if-none-match", etag))[::3] == (304, True)
    assert reads.get("/signals", (b"origin", b"http://localhost:3000"))[::3] == (200, True)
    assert b"access-control-allow-origin" not in reads.get("/signals")[1], "headers of another kind were not recorded"


def test_revoked_key_is_refused(reads):
    services.revoke_key(ApiKey.objects.get())
    assert reads.get("/signals")[::3] == (401, True)


def test_unknown_key_is_django_s_alone(reads, django_assert_num_queries):
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/signals", "query_string": b"limit=5",
        "headers": [(b"host", b"testserver"), (b"x-api-key", b"mle_00000000_unknown")],
    }  # fmt: skip
    with django_assert_num_queries(0):
        assert reads.handler.reads.answer(scope) is None
    assert reads.handler.reads.answer({**scope, "headers": [scope["headers"][0], reads.key]}) is not None


def test_disabled_market_is_409(reads):
    Market.objects.filter(symbol="BTCUSDT").update(enabled=False)
    assert reads.get("/candles")[::3] == (409, True)
    assert reads.get("/indicators")[::3] == (409, True)


@pytest.mark.parametrize("place", [0, 5])
def test_indicators_follow_a_changed_candle(reads, place):
    query = b"symbol=BTCUSDT&limit=20&names=sma_20"
    before = [reads.get("/indicators", query=query)[2] for _ in range(2)]
    assert before[0] == before[1]
    candle = Candle.objects.filter(market__symbol="BTCUSDT").order_by("-open_time")[place]
    Candle.objects.filter(pk=candle.pk).update(high=candle.high + 10, close=candle.close + Decimal(5))
    after = reads.get("/indicators", query=query)
    assert (after[0], after[3]) == (200, False)
    assert after[2] != before[0]
