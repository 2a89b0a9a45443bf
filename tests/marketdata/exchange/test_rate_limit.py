"""A ban received by one thread or process stops the requests of all."""

import threading

import pytest
from django.db import OperationalError, connection

from marketdata import clock, services
from marketdata.errors import ExchangeBanned, ExchangeUnavailable
from marketdata.exchange import rate_limit, rest
from marketdata.exchange.rate_limit import LocalBan
from marketdata.exchange.rest import PageRequest, RestSession
from marketdata.feed import supervisor
from marketdata.feed.sockets import FeedTimings
from marketdata.feed.status_poller import ExchangeStatusPoller
from marketdata.models import ExchangeState
from marketdata.process_state import process_state
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles

BUSY = FeedTimings(clock_period=0.03, fast_clock_period=0.03, description_period=0.05)
BAN_SECONDS = 2.5


def request_a_candle():
    with RestSession() as session:
        return session.fetch([PageRequest("BTCUSDT", START - STEP, START)])[0]


def wait(seconds):
    threading.Event().wait(seconds)


def wait_until(condition, seconds=10):
    until = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < until:
        wait(0.02)
    assert condition()


@pytest.fixture
def poller(exchange, markets):
    """A status poller in a thread that sends many requests a second."""
    running, stop = ExchangeStatusPoller(BUSY, lambda _reading: None), threading.Event()
    running.markets = markets
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: exchange.rest.requests > 10)
        yield running
    finally:
        stop.set()
        thread.join(20)
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["banned", "rate_limited"])
def test_a_ban_received_by_one_thread_stops_the_others_until_its_end(exchange, poller, kind):
    exchange.faults.add(Fault(kind, path="klines", times=1, seconds=BAN_SECONDS))
    began = clock.wall_ms()
    assert isinstance(request_a_candle().error, ExchangeBanned)
    answered = clock.wall_ms()
    in_flight = exchange.meter.violations
    sent = exchange.rest.requests
    while clock.wall_ms() < began + BAN_SECONDS * 1000 - 300:
        with RestSession() as session, pytest.raises(ExchangeUnavailable):
            session.read_clock()
        wait(0.05)
    assert clock.wall_ms() - answered > 1_500
    # One request may have been in flight when the ban was received; none is sent afterwards.
    assert exchange.rest.requests - sent + in_flight <= 1
    assert exchange.meter.violations <= 1
    wait_until(lambda: exchange.rest.requests > sent + 5)
    assert request_a_candle().rows


@pytest.mark.django_db(transaction=True)
def test_a_ban_of_another_process_applies_before_the_next_request(exchange, poller):
    ExchangeState.objects.filter(pk=1).update(banned_until_ms=clock.wall_ms() + 1_500)
    wait(0.1)  # requests in flight arrive
    sent = exchange.rest.requests
    wait(1.2)
    assert exchange.rest.requests == sent
    wait_until(lambda: exchange.rest.requests > sent + 5)


def test_queued_pages_are_not_sent_after_a_ban(exchange, markets, monkeypatch):
    monkeypatch.setattr(rest, "MAX_CONCURRENT", 1)
    exchange.faults.add(Fault("banned", path="klines", times=1, seconds=60))
    with RestSession() as session:
        answers = session.fetch(
            [PageRequest(market.symbol, START - n * STEP, START) for n in range(1, 6) for market in markets]
        )
    assert len(answers) == 10
    assert all(isinstance(answer.error, ExchangeBanned) for answer in answers)
    assert exchange.meter.violations == 0
    assert ExchangeState.objects.get().banned_until_ms > clock.wall_ms() + 50_000


def test_a_ban_received_without_database_is_stored_when_it_is_back(exchange, markets, monkeypatch):
    services.sync_candles(markets)
    locked_state = rate_limit._locked_state

    def unavailable():
        raise OperationalError("the server closed the connection unexpectedly")

    exchange.faults.add(Fault("banned", path="time", times=1, seconds=60))
    with RestSession() as session:
        monkeypatch.setattr(
            session, "_reserve_weight", lambda *_: monkeypatch.setattr(rate_limit, "_locked_state", unavailable)
        )
        with pytest.raises(OperationalError):
            session.read_clock()
    assert ExchangeState.objects.get().banned_until_ms is None
    monkeypatch.setattr(rate_limit, "_locked_state", locked_state)
    sent = exchange.rest.requests
    assert isinstance(request_a_candle().error, ExchangeBanned)
    assert exchange.rest.requests == sent
    process_state.drop(LocalBan)
    assert isinstance(request_a_candle().error, ExchangeBanned)  # by now it is stored for all processes
    assert exchange.rest.requests == sent


@pytest.mark.django_db(transaction=True)
def test_the_feed_started_during_a_ban_sends_requests_only_after_its_end(exchange, markets, monkeypatch):
    monkeypatch.setattr(services, "LIVE_WINDOW", 20)
    rate_limit.ban(clock.wall_ms() + 2_000)
    process_state.drop(LocalBan)
    stop = threading.Event()
    follow = lambda frames: services.sync_candles(services.enabled_markets(), frames)  # noqa: E731
    thread = threading.Thread(
        target=supervisor.run, args=(services.enabled_markets, follow, stop), kwargs={"pace": BUSY}
    )
    thread.start()
    try:
        wait_until(lambda: exchange.hub.accepted)
        close_candles(exchange, 1)
        wait(1.0)
        assert exchange.rest.requests == 0
        wait_until(lambda: exchange.rest.requests > 5)
    finally:
        stop.set()
        thread.join(20)
        connection.close()


def test_the_end_of_a_ban_is_shown_as_a_date_and_time():
    assert str(ExchangeBanned(1_795_785_030_053)) == "the exchange banned this address until 2026-11-27 13:10:30 UTC"
