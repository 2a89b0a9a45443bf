"""A ban met by anybody silences everybody: the sockets' process, every line, other processes, and the next start."""

import threading

import pytest
from django.db import OperationalError, connection

from marketdata import clock, rest, services, stream, weight
from marketdata.errors import ExchangeBanned, ExchangeUnavailable
from marketdata.lookout import ExchangeStatusPoller
from marketdata.models import ExchangeState
from marketdata.rest import Ask, RestSession
from marketdata.simulator.faults import Fault
from marketdata.sockets import FeedTimings
from tests.marketdata.conftest import START, STEP, close_candles

BUSY = FeedTimings(clock_period=0.03, fast_clock_period=0.03, description_period=0.05)
BAN_SECONDS = 2.5


def ask_for_a_candle():
    with RestSession() as line:
        return line.ask([Ask("BTCUSDT", START - STEP, START)])[0]


def wait(seconds):
    threading.Event().wait(seconds)


def wait_until(condition, seconds=10):
    until = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < until:
        wait(0.02)
    assert condition()


@pytest.fixture
def lookout(exchange, markets):
    """A thread that asks the exchange many times a second, as the feed's does in its own process."""
    looking, stop = ExchangeStatusPoller(BUSY, lambda _reading: None), threading.Event()
    looking.markets = markets
    thread = threading.Thread(target=looking.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: exchange.rest.requests > 10)
        yield looking
    finally:
        stop.set()
        thread.join(20)
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["banned", "rate_limited"])
def test_a_ban_met_by_one_thread_silences_the_others_until_its_end(exchange, lookout, kind):
    exchange.faults.add(Fault(kind, path="klines", times=1, seconds=BAN_SECONDS))
    began = clock.wall_ms()
    assert isinstance(ask_for_a_candle().error, ExchangeBanned)
    answered = clock.wall_ms()
    flying = exchange.meter.violations
    asked = exchange.rest.requests
    while clock.wall_ms() < began + BAN_SECONDS * 1000 - 300:
        with RestSession() as line, pytest.raises(ExchangeUnavailable):
            line.read_clock()
        wait(0.05)
    assert clock.wall_ms() - answered > 1_500
    # A request may have been on its way when the ban was spoken; none left after it was heard.
    assert exchange.rest.requests - asked + flying <= 1
    assert exchange.meter.violations <= 1
    wait_until(lambda: exchange.rest.requests > asked + 5)
    assert ask_for_a_candle().rows


@pytest.mark.django_db(transaction=True)
def test_a_ban_another_process_met_is_heard_before_the_next_request(exchange, lookout):
    ExchangeState.objects.filter(pk=1).update(banned_until_ms=clock.wall_ms() + 1_500)
    wait(0.1)  # what was on its way arrives
    asked = exchange.rest.requests
    wait(1.2)
    assert exchange.rest.requests == asked
    wait_until(lambda: exchange.rest.requests > asked + 5)


def test_pages_that_wait_for_their_turn_are_not_sent_after_a_ban(exchange, markets, monkeypatch):
    monkeypatch.setattr(rest, "AT_ONCE", 1)
    exchange.faults.add(Fault("banned", path="klines", times=1, seconds=60))
    with RestSession() as line:
        answers = line.ask([Ask(market.symbol, START - n * STEP, START) for n in range(1, 6) for market in markets])
    assert len(answers) == 10
    assert all(isinstance(answer.error, ExchangeBanned) for answer in answers)
    assert exchange.meter.violations == 0
    assert ExchangeState.objects.get().banned_until_ms > clock.wall_ms() + 50_000


def test_a_ban_met_while_the_database_is_away_is_kept_until_it_is_back(exchange, markets, monkeypatch):
    services.sync_candles(markets)
    really = weight._locked_state

    def away():
        raise OperationalError("the server closed the connection unexpectedly")

    exchange.faults.add(Fault("banned", path="time", times=1, seconds=60))
    with RestSession() as line:
        monkeypatch.setattr(line, "_pay", lambda *_: monkeypatch.setattr(weight, "_locked_state", away))
        with pytest.raises(OperationalError):
            line.read_clock()
    assert ExchangeState.objects.get().banned_until_ms is None
    monkeypatch.setattr(weight, "_locked_state", really)
    asked = exchange.rest.requests
    assert isinstance(ask_for_a_candle().error, ExchangeBanned)
    assert exchange.rest.requests == asked
    weight.clear_local_ban()
    assert isinstance(ask_for_a_candle().error, ExchangeBanned)  # by now it is every process's knowledge
    assert exchange.rest.requests == asked


@pytest.mark.django_db(transaction=True)
def test_the_feed_starts_in_silence_and_speaks_when_it_ends(exchange, markets, monkeypatch):
    monkeypatch.setattr(services, "LIVE_WINDOW", 20)
    weight.ban(clock.wall_ms() + 2_000)
    weight.clear_local_ban()
    stop = threading.Event()
    follow = lambda frames: services.sync_candles(services.enabled_markets(), frames)  # noqa: E731
    thread = threading.Thread(target=stream.run, args=(services.enabled_markets, follow, stop), kwargs={"pace": BUSY})
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


def test_a_ban_is_told_in_a_persons_time():
    assert str(ExchangeBanned(1_795_785_030_053)) == "the exchange banned this address until 2026-11-27 13:10:30 UTC"
