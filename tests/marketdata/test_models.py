"""PostgreSQL uses the right index for a time span, with and without a market."""

import pytest
from django.db import connection

from marketdata.models import Candle, Market

STEP = 300_000
BEGIN = 1_735_689_600_000
SPAN = {"open_time__gte": BEGIN + 700 * STEP, "open_time__lt": BEGIN + 712 * STEP}

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


@pytest.fixture
def feed():
    """A thousand candles of forty markets in the order of a feed."""
    markets = [Market.objects.create(symbol=f"{n}USDT", source="simulated", enabled=False) for n in range(40)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO candles (market_id, open_time, open, high, low, close, volume, origin, revision, received_at) "
            "SELECT market.id, %s + n * 300000::bigint, 2, 3, 1, 2, 5, 'stream', 0, now() "
            "FROM generate_series(0, 999) AS n, markets AS market ORDER BY n, market.id",
            [BEGIN],
        )
        cursor.execute("ANALYZE candles")
        cursor.execute("SET LOCAL enable_seqscan = off")  # a table this small is read faster without any index
    return markets


def test_a_time_span_uses_the_brin_index(feed):
    span = Candle.objects.filter(**SPAN)
    assert "candle_time_brin" in span.explain()
    assert span.count() == 12 * len(feed)


def test_a_time_span_of_one_market_uses_its_unique_index(feed):
    span = Candle.objects.filter(market=feed[3], **SPAN)
    assert "candle_is_unique" in span.explain()
    assert span.count() == 12
