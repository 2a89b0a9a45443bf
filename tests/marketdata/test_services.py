"""Services with a simulated exchange: complete and closed candles, errors by market."""

import asyncio
import io
import json
from dataclasses import replace
from time import sleep

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketdata import clock, services
from marketdata.coverage import backfill, gap_filling
from marketdata.coverage.ledger import coverage_of
from marketdata.errors import MarketDataError, MarketDisabled, UnknownSymbol
from marketdata.exchange import rate_limit
from marketdata.exchange.client import ExchangeClient
from marketdata.models import AbsentStretch, Candle, CandleRevision, ExchangeState, Market
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.server import SimulatedExchange
from tests.marketdata.conftest import START, STEP, close_candles, opens

pytestmark = pytest.mark.usefixtures("short_window")


def frame(symbol, open_time):
    async def read():
        async with ExchangeClient() as client:
            return (await client.klines(symbol, open_time, open_time + STEP)).rows

    return asyncio.run(read())


def test_seeding_creates_missing_markets_and_never_a_second_enabled_one(db):
    assert len(services.seed_markets(["BTCUSDT"], "exchange")) == 1
    assert services.seed_markets(["BTCUSDT"], "exchange") == []
    (simulated,) = services.seed_markets(["BTCUSDT"], "simulated")
    assert not simulated.enabled
    assert services.market_of("BTCUSDT").source == "exchange"
    Market.objects.update(enabled=False)
    with pytest.raises(MarketDisabled):
        services.market_of("BTCUSDT")
    with pytest.raises(UnknownSymbol):
        services.market_of("XYZUSDT")


def test_a_first_sync_fills_the_live_window_with_closed_candles_only(exchange, markets):
    report = services.sync_candles(markets)
    assert report.failures == {}
    for market in markets:
        stored = opens(market)
        assert stored == list(range(START - services.LIVE_WINDOW * STEP, START, STEP))[-len(stored) :]
        assert len(stored) == services.LIVE_WINDOW
        assert stored[-1] == START - STEP
    again = services.sync_candles(markets)
    assert (again.requests, again.saved) == (0, (0, 0, 0))


def test_a_contiguous_frame_is_stored_without_a_request(exchange, markets):
    services.sync_candles(markets)
    close_candles(exchange, 1)
    frames = {market.symbol: frame(market.symbol, START) for market in markets}
    report = services.sync_candles(markets, frames)
    assert (report.requests, report.saved) == (0, (2, 0, 0))
    assert report.newest == {market.id: START for market in markets}


@pytest.mark.parametrize("speed", [1.0, 30.0])
def test_a_contiguous_frame_needs_no_request_while_the_clock_runs(settings, markets, monkeypatch, speed):
    with SimulatedExchange(["BTCUSDT", "ETHUSDT"], seed=3, speed=speed, begin_at=START - 2_000) as exchange:
        settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = exchange.base_url, exchange.stream_url
        services.sync_candles(markets)
        while exchange.now_ms() < START + 1_000:
            sleep(0.05)
        newest = START - STEP
        frames = {market.symbol: frame(market.symbol, newest) for market in markets}
        Candle.objects.filter(open_time=newest).delete()
        # An hour since the clock was last read, which would normally cause a new reading.
        read = clock.current_reading()
        clock.record_reading(replace(read, wall_ms=read.wall_ms - 3_600_000, market_ms=read.market_ms - 3_600_000))
        charged = []
        charge = exchange.meter.charge
        monkeypatch.setattr(
            exchange.meter, "charge", lambda *args, **named: charged.append(args) or charge(*args, **named)
        )
        report = services.sync_candles(markets, frames)
        assert (charged, report.saved.inserted) == ([], 2)
        assert report.newest == {market.id: newest for market in markets}
        services.sync_candles(markets, {"BTCUSDT": frames["BTCUSDT"]})
        assert charged


def test_closes_fetched_for_many_markets_are_stored_together(settings, db, monkeypatch):
    monkeypatch.setattr(gap_filling, "MAX_BATCH_CANDLES", 5)
    symbols = [f"M{number}USDT" for number in range(7)]
    with SimulatedExchange(symbols, seed=3, speed=0, begin_at=START + 10_000) as exchange:
        settings.BINANCE_API_URL = exchange.base_url
        followed = services.seed_markets(symbols, "simulated")
        services.sync_candles(followed)
        close_candles(exchange, 1)
        with CaptureQueriesContext(connection) as queries:
            report = services.sync_candles(followed)
    assert (report.requests, report.saved, report.failures) == (7, (7, 0, 0), {})
    statements = [query["sql"] for query in queries]
    assert sum("INTO candles" in statement for statement in statements) == 2, "five, and two"
    assert sum("absent_stretches" in statement for statement in statements) == 2


def test_a_frame_after_a_gap_is_stored_and_the_gap_filled_in_the_same_call(exchange, markets):
    services.sync_candles(markets)
    close_candles(exchange, 4)
    report = services.sync_candles(markets, {"BTCUSDT": frame("BTCUSDT", START + 3 * STEP)})
    assert (report.requests, report.saved.inserted) == (2, 8)
    assert opens(markets[0])[-4:] == [START + i * STEP for i in range(4)]


def test_real_and_simulated_candles_never_mix(exchange, db):
    market = Market.objects.create(symbol="BTCUSDT", source="exchange")
    report = services.sync_candles([market])
    assert "BTCUSDT" in report.failures
    assert not Candle.objects.exists()
    with pytest.raises(MarketDataError):
        services.backfill(market, START - 10 * STEP, START)


def test_an_unknown_symbol_is_suspended_and_the_others_continue(exchange, markets):
    unknown = Market.objects.create(symbol="NOPEUSDT", source="simulated")
    report = services.sync_candles([*markets, unknown])
    assert list(report.failures) == ["NOPEUSDT"]
    assert len(opens(markets[0])) == services.LIVE_WINDOW
    unknown.refresh_from_db()
    assert unknown.quarantined_until is not None
    assert services.sync_candles([*markets, unknown]).requests == 0


def test_a_hole_becomes_absent_only_after_repeated_attempts_over_time(exchange, markets):
    hole = START + 2 * STEP
    exchange.faults.add(Fault("hole", at=hole, until=hole + STEP, symbol="BTCUSDT"))
    services.sync_candles(markets)
    for _ in range(5):
        close_candles(exchange, 1)
        services.sync_candles(markets)
    assert not AbsentStretch.objects.filter(start=hole).exists()
    assert coverage_of(markets[0]).missing == 1
    close_candles(exchange, 1)
    services.sync_candles(markets)
    services.sweep_quality(markets)
    stretch = AbsentStretch.objects.get(market=markets[0])
    assert (stretch.start, stretch.end) == (hole, hole + STEP)
    assert len(stretch.evidence["attempts"]) >= 3
    found = coverage_of(markets[0])
    assert (found.missing, found.absent, found.stored) == (0, 1, found.expected - 1)
    assert coverage_of(markets[1]).share == 1
    assert services.sync_candles(markets).requests == 0


def test_a_correction_after_the_close_becomes_a_revision(exchange, markets):
    exchange.faults.add(Fault("correction", at=START, until=START + STEP, symbol="ETHUSDT", seconds=20))
    services.sync_candles(markets)
    close_candles(exchange, 1)
    services.sync_candles(markets)
    exchange.advance_to(START + STEP + 90_000)
    services.sweep_quality(markets)
    revision = CandleRevision.objects.get()
    assert (revision.market.symbol, revision.open_time) == ("ETHUSDT", START)


def test_a_backfill_can_be_cancelled_at_any_page_and_continued(exchange, markets, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_PAGES", 1)
    market = markets[0]
    begin, seen = START - 3500 * STEP, []
    services.backfill(market, begin, START, lambda done, total: seen.append((done, total)), lambda: len(seen) > 2)
    assert seen[0] == (0, 3500)
    assert len(opens(market)) == 2000
    report = services.backfill(market, begin, START)
    assert (report.requests, report.saved.inserted) == (2, 1500)
    assert opens(market) == list(range(begin, START, STEP))


def test_a_backfill_never_stores_the_open_candle(exchange, markets):
    services.backfill(markets[0], START - 5 * STEP, START + 50 * STEP)
    assert opens(markets[0])[-1] == START - STEP


def test_the_budget_is_half_the_limit(db):
    ExchangeState.objects.create(pk=1, weight_limit=100)
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        assert rate_limit.reserve(40) == 0
        assert rate_limit.reserve(20) == pytest.approx(40)
        frozen.advance(40)
        assert rate_limit.reserve(20) == 0
        rate_limit.observe(50)
        assert rate_limit.reserve(1) > 0


def test_an_absence_filled_by_the_exchange_is_removed(exchange, markets):
    hole = START + 2 * STEP
    exchange.faults.add(Fault("hole", at=hole, until=hole + STEP, symbol="BTCUSDT"))
    services.sync_candles(markets)
    for _ in range(7):
        close_candles(exchange, 1)
        services.sync_candles(markets)
    assert AbsentStretch.objects.filter(market=markets[0], start=hole).exists()
    exchange.faults.clear()
    services.sweep_quality(markets)
    assert hole not in opens(markets[0])
    exchange.advance_to(exchange.now_ms() + 289 * STEP)
    services.sweep_quality(markets)
    assert hole in opens(markets[0])
    assert not AbsentStretch.objects.exists()


def test_history_before_the_first_candle_becomes_absent(exchange, markets):
    first = START - 100 * STEP
    exchange.faults.add(Fault("hole", at=0, until=first))
    for _ in range(4):
        services.sync_candles(markets)
        services.sweep_quality(markets)
        close_candles(exchange, 1)
    assert opens(markets[0])[0] == first
    assert coverage_of(markets[0]).share == 1
    assert services.sync_candles(markets).requests == len(markets)  # only for the newest candle


def test_backfill_candles_reports_the_coverage(exchange, markets):
    out = io.StringIO()
    call_command(
        "backfill_candles", "--from", "2024-12-31", "--until", "2025-01-01", "--json", "--progress-json", stdout=out
    )
    objects = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {"done": 576, "total": 576, "message": "2 markets"} in objects
    assert next(one for one in objects if "stored" in one) == {
        "symbol": "BTCUSDT", "expected": 288, "stored": 288, "missing": 0, "absent": 0, "complete": True,
        "absent_because": [],
    }  # fmt: skip
    with pytest.raises(CommandError, match="No market"):
        call_command("backfill_candles", "--symbols", "NOPEUSDT")
    with pytest.raises(CommandError, match="no time"):
        call_command("backfill_candles", "--from", "yesterday")


def test_stream_candles_ends_with_one_sentence_without_redis(settings):
    settings.EMBEDDED = True
    with pytest.raises(CommandError, match="REDIS_URL"):
        call_command("stream_candles")


def test_holes_are_counted_once_and_not_again_while_candles_continue(exchange, markets):
    services.sync_candles(markets)
    counted = []
    for count in (1, 1, 2):  # two candles close before the last round: the one between is a hole
        close_candles(exchange, count)
        last = START + (exchange.now_ms() - START) // STEP * STEP - STEP
        frames = {market.symbol: [frame(market.symbol, last)[0]] for market in markets}
        with CaptureQueriesContext(connection) as queries:
            services.sync_candles(markets, frames)
        counted.append(sum("count(*)" in query["sql"] for query in queries) > 0)
        assert all(opens(market)[-2:] == [last - STEP, last] for market in markets)
    assert counted == [True, False, True]
