"""Evidence of an absence: only a response with candles after the hole counts."""

import pytest

from marketdata import services
from marketdata.coverage import gap_filling
from marketdata.exchange.rest import RestSession
from marketdata.intervals import Gap
from marketdata.models import AbsentStretch, Candle, SuspectedStretch
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles, opens

pytestmark = pytest.mark.usefixtures("short_window")

HOLE = START - 20 * STEP
SHIFTED = HOLE - 7 * STEP
"""Start of the wrong page that is sent when the hole is requested."""


def sweep_for(exchange, markets, n_candles):
    for _ in range(n_candles):
        close_candles(exchange, 1)
        services.sync_candles(markets)
        services.sweep_quality(markets)


def request(market, gaps):
    with RestSession() as session:
        session.market_ms()
        gap_filling.fill(session, {market: gaps}, gap_filling.SyncReport())


def test_repeated_empty_pages_are_no_evidence(exchange, markets):
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=SHIFTED, until=SHIFTED + 2 * STEP))
    services.sync_candles(markets)
    sweep_for(exchange, markets, 4)
    assert AbsentStretch.objects.get().start == SHIFTED

    Candle.objects.filter(market=markets[0], open_time=HOLE).delete()
    exchange.faults.add(Fault("wrong_page", symbol="BTCUSDT"))
    before = exchange.rest.requests
    sweep_for(exchange, markets, 6)
    assert exchange.rest.requests - before > 10
    assert not SuspectedStretch.objects.exists()
    assert AbsentStretch.objects.get().start == SHIFTED
    exchange.faults.clear()
    services.sync_candles(markets)
    assert HOLE in opens(markets[0])


def test_a_response_that_leaves_out_stored_candles_is_no_evidence(exchange, markets):
    services.sync_candles(markets)
    Candle.objects.filter(market=markets[0], open_time=HOLE).delete()
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=HOLE, until=HOLE + 3 * STEP))
    sweep_for(exchange, markets, 5)
    assert not AbsentStretch.objects.exists()
    assert not SuspectedStretch.objects.exists()


def test_a_hole_longer_than_a_page_becomes_absent_after_its_attempts(exchange, markets):
    begin = START - 2_500 * STEP
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=begin, until=begin + 2_200 * STEP))
    services.backfill(markets[0], begin - STEP, START)
    sweep = Gap(begin, begin + 2_200 * STEP)
    for _ in range(2):
        close_candles(exchange, 1)
        request(markets[0], gap_filling.holes_of(markets[0], *sweep))
    assert gap_filling.holes_of(markets[0], *sweep) == []
    assert sum((one.end - one.start) // STEP for one in AbsentStretch.objects.all()) == 2_200


def test_parts_of_a_hole_requested_separately_need_candles_after_both(exchange, markets):
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=HOLE, until=HOLE + 2 * STEP))
    services.sync_candles(markets)
    parts = [Gap(HOLE, HOLE + STEP), Gap(HOLE + STEP, HOLE + 2 * STEP)]
    for _ in range(2):
        close_candles(exchange, 1)
        request(markets[0], parts)
    assert {(one.start, one.end) for one in AbsentStretch.objects.all()} == set(parts)


def test_a_suspicion_remains_where_a_response_allows_no_conclusion(exchange, markets):
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=HOLE, until=HOLE + STEP))
    services.sync_candles(markets)
    before = SuspectedStretch.objects.values().get()
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=SHIFTED, until=SHIFTED + 2 * STEP), Fault("wrong_page"))
    request(markets[0], [Gap(HOLE, HOLE + STEP)])
    after = SuspectedStretch.objects.values().get()
    assert {**before, "id": 0} == {**after, "id": 0}
