"""The candle store is exact and idempotent, returns equal floats, and records every change."""

import threading
import time
from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, CandleRevision, Market
from marketdata.storage import candles

START = 1_735_689_600_000
STEP = 300_000


def candle(index, close="100.5", volume="12.5", **flows):
    price = Decimal(close)
    return CandleRow(START + index * STEP, price, price + 1, price - 1, price, Decimal(volume), **flows)


@pytest.fixture
def market(db):
    return Market.objects.create(symbol="BTCUSDT", source="exchange")


def test_a_repeat_changes_nothing(market):
    rows = [candle(i) for i in range(1200)]
    assert candles.save_candles(market, rows, "rest") == (1200, 0, 0)
    assert candles.save_candles(market, rows, "stream") == (0, 1200, 0)
    assert Candle.objects.count() == 1200


def test_a_changed_candle_becomes_a_visible_revision(market):
    candles.save_candles(market, [candle(0), candle(1)], "stream")
    assert candles.save_candles(market, [candle(0, close="101"), candle(1), candle(2)], "rest") == (1, 1, 1)
    revision = CandleRevision.objects.get()
    assert (revision.before["close"], revision.after["close"]) == ("100.50000000", "101.00000000")
    stored = Candle.objects.get(open_time=START)
    assert (stored.close, stored.revision, stored.origin) == (Decimal(101), 1, "rest")


def test_flows_a_source_lacked_are_filled_in_without_a_revision(market):
    candles.save_candles(market, [candle(0)], "import")
    full = candle(0, quote_volume=Decimal("5.5"), trades=3, taker_buy_base=Decimal(1), taker_buy_quote=Decimal(2))
    assert candles.save_candles(market, [full], "rest") == (0, 1, 0)
    assert candles.save_candles(market, [candle(0)], "import") == (0, 1, 0)
    assert Candle.objects.get().quote_volume == Decimal("5.5")


def test_prices_and_amounts_come_back_exactly_and_floats_are_the_nearest(market):
    texts = ["67123.45000001", "0.00000001", "0.1", "999999999998.99999998", "93737.86999999", "90071993.54740993"]
    rows = [
        CandleRow(START + i * STEP, *[Decimal(text)] * 4, Decimal("1234567890123456.12345678"))
        for i, text in enumerate(texts)
    ]
    candles.save_candles(market, rows, "rest")
    assert [c.close for c in Candle.objects.order_by("open_time")] == [Decimal(text) for text in texts]
    grid = candles.load_grid([market], START + 5 * STEP, 6)
    assert grid.close[0].tolist() == [float(text) for text in texts]
    assert set(grid.volume[0].tolist()) == {float("1234567890123456.12345678")}


def test_a_grid_has_nan_where_a_market_has_no_candle_and_keeps_the_given_order(market):
    other = Market.objects.create(symbol="ETHUSDT", source="exchange")
    candles.save_candles(market, [candle(0), candle(2)], "rest")
    candles.save_candles(other, [candle(1, close="7")], "rest")
    grid = candles.load_grid([other, market], START + 2 * STEP, 4)
    assert grid.open_time.tolist() == [START - STEP, START, START + STEP, START + 2 * STEP]
    np.testing.assert_array_equal(grid.close, [[np.nan, np.nan, 7, np.nan], [np.nan, 100.5, np.nan, 100.5]])
    assert candles.newest_open([market, other]) == {market.id: START + 2 * STEP, other.id: START + STEP}


def test_many_markets_are_saved_at_once(market):
    others = [Market.objects.create(symbol=f"C{i}USDT", source="exchange") for i in range(30)]
    with_rows = {m: [candle(0), candle(1)] for m in [market, *others]}
    assert candles.save_all(with_rows, "stream") == (62, 0, 0)
    assert candles.save_all(with_rows, "stream") == (0, 62, 0)


@pytest.mark.postgres
@pytest.mark.parametrize("origin", ["stream", "rest"])
def test_the_newest_candles_of_all_markets_are_one_statement(market, origin):
    full = {"quote_volume": Decimal("5.5"), "trades": 3, "taker_buy_base": Decimal(1), "taker_buy_quote": Decimal(2)}
    others = [Market.objects.create(symbol=f"C{i}USDT", source="exchange") for i in range(30)]
    rows = {m: [candle(0, **full) if m == market else candle(0)] for m in [market, *others]}
    with CaptureQueriesContext(connection) as queries:
        assert candles.save_all(rows, origin) == (31, 0, 0)
    assert sum("SAVEPOINT" not in query["sql"] for query in queries) == 1
    stored = Candle.objects.get(market=market)
    assert (stored.origin, stored.revision, stored.close, stored.quote_volume) == (
        origin, 0, Decimal("100.5"), Decimal("5.5"),
    )  # fmt: skip
    assert Candle.objects.get(market=others[0]).quote_volume is None


@pytest.mark.parametrize("origin", ["stream", "rest"])
def test_a_candle_that_breaks_a_rule_is_refused_from_every_origin(market, origin):
    with pytest.raises(IntegrityError), transaction.atomic():
        candles.save_candles(market, [candle(0), candle(1)._replace(high=Decimal(1))], origin)
    assert not Candle.objects.exists()


def test_candles_of_many_markets_are_counted_in_one_statement(market, django_assert_num_queries):
    other = Market.objects.create(symbol="ETHUSDT", source="exchange")
    empty = Market.objects.create(symbol="SOLUSDT", source="exchange")
    candles.save_all({market: [candle(0), candle(1), candle(4)], other: [candle(4)]}, "rest")
    with django_assert_num_queries(1):
        counts = candles.counts_stored([market, other, empty], START, START + 4 * STEP)
    assert counts == {market.id: 2, other.id: 0, empty.id: 0}


def test_an_empty_save_is_nothing(market):
    assert candles.save_candles(market, [], "rest") == (0, 0, 0)
    assert len(candles.load_span([market], START, START)) == 0
    assert candles.newest_open([market]) == {market.id: None}


def test_one_save_inserts_completes_revises_and_keeps_unchanged_candles(market):
    other = Market.objects.create(symbol="ETHUSDT", source="exchange")
    candles.save_all({market: [candle(0), candle(1)], other: [candle(0)]}, "stream")
    rows = {
        market: [candle(0), candle(1, close="99"), candle(2)],
        other: [candle(0, trades=4), candle(1)],
    }
    assert candles.save_all(rows, "rest") == (2, 2, 1)
    assert candles.save_all(rows, "rest") == (0, 5, 0)
    assert Candle.objects.get(market=other, open_time=START).trades == 4
    assert CandleRevision.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("origin", ["rest", "stream"])
def test_a_candle_another_process_stores_at_the_same_time_is_compared(transactional_db, origin):
    """The insert waits for the other commit and must detect the difference without seeing its row."""
    market = Market.objects.create(symbol="BTCUSDT", source="exchange")
    stored, going = threading.Event(), threading.Event()

    def other_process():
        with transaction.atomic():
            candles.save_candles(market, [candle(0)], "stream")
            stored.set()
            going.wait(10)
            time.sleep(0.3)
        connection.close()

    thread = threading.Thread(target=other_process)
    thread.start()
    stored.wait(10)
    going.set()
    assert candles.save_candles(market, [candle(0, close="101"), candle(1)], origin) == (1, 0, 1)
    thread.join()
    assert CandleRevision.objects.get().before["close"] == "100.50000000"
