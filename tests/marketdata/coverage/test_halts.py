"""A halted market does not affect the others, and its missing candles become absent afterwards."""

import threading

import pytest
from django.db import connection

from marketdata import clock, health, services
from marketdata.api import payloads
from marketdata.coverage import quarantine
from marketdata.coverage.ledger import coverage_of
from marketdata.feed import supervisor
from marketdata.feed.sockets import FeedTimings
from marketdata.feed.status_poller import ExchangeStatusPoller
from marketdata.models import AbsentStretch, Candle, ExchangeState, Market
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles
from tests.marketdata.test_services import frame, opens

HALTED = range(START + STEP, START + 5 * STEP, STEP)
PACE = FeedTimings(longest_wait=0.4, clock_period=0.2, fast_clock_period=0.2, doubt_period=0.2)


@pytest.fixture(autouse=True)
def _short_window(monkeypatch):
    monkeypatch.setattr(services, "LIVE_WINDOW", 300)


def halt(exchange):
    exchange.faults.add(Fault("halted", symbol="BTCUSDT", at=HALTED.start, until=HALTED.stop))


def poll(markets):
    poller = ExchangeStatusPoller(PACE, lambda _reading: None)
    poller.markets, poller.is_close_overdue = markets, True
    poller.poll()
    poller.close()


def test_a_halted_market_does_not_affect_others_and_its_candles_become_absent(exchange, markets):
    halt(exchange)
    close_candles(exchange, 1)
    services.sync_candles(markets)
    poll(markets)
    halted, other = markets = services.enabled_markets()
    assert (halted.trading, other.trading) == ("BREAK", "TRADING")
    assert payloads.market_object(halted, (), None)["message"] == "trading status at the exchange: BREAK"
    close_candles(exchange, 1)
    report = services.sync_candles(markets, {"ETHUSDT": frame("ETHUSDT", HALTED[0])})
    assert (report.requests, report.saved.inserted, report.failures) == (0, 1, {})
    close_candles(exchange, 3)
    assert services.sync_candles(markets).requests == 1
    assert health.report()["halted"] == ["BTCUSDT"]
    assert health.report()["status"] == "healthy"
    assert not AbsentStretch.objects.exists()  # not known yet

    close_candles(exchange, 1)
    back = HALTED.stop
    services.sync_candles(markets, {symbol: frame(symbol, back) for symbol in ("BTCUSDT", "ETHUSDT")})
    assert opens(halted)[-2:] == [START, back]
    assert Market.objects.get(pk=halted.pk).trading == "TRADING"
    assert coverage_of(halted).missing == len(HALTED)
    for _ in range(2):
        close_candles(exchange, 1)
        services.sweep_quality(services.enabled_markets())
    stretches = AbsentStretch.objects.filter(market=halted)
    assert {at for one in stretches for at in range(one.start, one.end, STEP)} == set(HALTED)
    assert all(len(one.evidence["attempts"]) >= 3 for one in stretches)
    assert not AbsentStretch.objects.filter(market=other).exists()
    ledger = coverage_of(halted)
    assert (ledger.missing, ledger.absent) == (0, len(HALTED))
    assert coverage_of(other).share == 1


def test_one_unknown_symbol_does_not_prevent_statuses_of_the_others(exchange, markets):
    unknown = Market.objects.create(symbol="NOPEUSDT", source="simulated")
    ExchangeState.objects.create(pk=1, weight_limit=1_200)
    halt(exchange)
    close_candles(exchange, 1)
    followed = [*markets, unknown, Market.objects.create(symbol="ANOTHER", source="simulated")]
    poll(followed)
    assert [market.trading for market in services.enabled_markets()] == ["", "BREAK", "TRADING", ""]
    assert [quarantine.is_suspended(market) for market in followed] == [False, False, True, True]
    assert ExchangeState.objects.get().weight_limit == exchange.limits.weight_per_minute
    before = exchange.rest.requests
    poll(followed)
    assert exchange.rest.requests - before <= 7, "the clock, and one description without the unknown symbols"


def test_a_candle_closed_just_before_a_halt_is_still_fetched(exchange, markets):
    services.sync_candles(markets)
    halt(exchange)
    close_candles(exchange, 4)
    poll(markets)
    halted, _ = markets = services.enabled_markets()
    Candle.objects.filter(open_time=START).delete()
    services.sync_candles(markets)
    services.sweep_quality(markets)
    assert opens(halted)[-1] == START


@pytest.mark.django_db(transaction=True)
def test_the_feed_detects_a_halt_and_its_end(exchange, markets, monkeypatch):
    monkeypatch.setattr(supervisor, "MARKETS_SECONDS", 0.3)
    stop = threading.Event()

    def follow(frames):
        services.sync_candles(services.enabled_markets(), frames)

    thread = threading.Thread(
        target=supervisor.run, args=(services.enabled_markets, follow, stop), kwargs={"pace": PACE}
    )
    thread.start()
    try:
        halt(exchange)
        wait_until(lambda: newest() == {"BTCUSDT": START - STEP, "ETHUSDT": START - STEP})
        close_candles(exchange, 4)
        wait_until(lambda: newest() == {"BTCUSDT": START, "ETHUSDT": START + 3 * STEP})
        wait_until(lambda: Market.objects.get(symbol="BTCUSDT").trading == "BREAK")
        close_candles(exchange, 2)
        wait_until(lambda: newest() == {"BTCUSDT": START + 5 * STEP, "ETHUSDT": START + 5 * STEP})
        wait_until(lambda: Market.objects.get(symbol="BTCUSDT").trading == "TRADING")
    finally:
        stop.set()
        thread.join(30)
        connection.close()


def newest():
    return {symbol: max(opens(Market.objects.get(symbol=symbol)), default=0) for symbol in ("BTCUSDT", "ETHUSDT")}


def wait_until(condition, seconds=40):
    until = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < until:
        threading.Event().wait(0.05)
    assert condition()
