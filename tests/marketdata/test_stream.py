"""The live feed against a simulated exchange: cut, silenced, lied to, it loses no closed candle."""

import threading
from contextlib import contextmanager

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connection

from marketdata import clock, quarantine, services, store, stream
from marketdata.backoff import Backoff
from marketdata.exchange import QUEUE
from marketdata.models import Candle, CandleRevision, ExchangeState, Market, QuarantinedMessage
from marketdata.simulator.faults import Fault
from marketdata.sockets import FeedTimings
from tests.marketdata.conftest import START, STEP, close_candles

pytestmark = pytest.mark.django_db(transaction=True)
PACE = FeedTimings(silence=3.0, longest_wait=0.4, handover=5.0, clock_period=0.5, fast_clock_period=0.5)


@pytest.fixture(autouse=True)
def _short_window(monkeypatch):
    monkeypatch.setattr(services, "LIVE_WINDOW", 50)
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.2)


class Feed:
    def __init__(self):
        self.rounds = []
        self.failing = 0

    def on_closed(self, frames):
        if self.failing:
            self.failing -= 1
            raise ValueError("the upper app stumbled")
        self.rounds.append({symbol: [row.open_time for row in rows] for symbol, rows in frames.items()})
        services.sync_candles(services.enabled_markets(), frames)

    def opens(self, symbol):
        return list(
            Candle.objects.filter(market__symbol=symbol).order_by("open_time").values_list("open_time", flat=True)
        )


@contextmanager
def feeding(pace=PACE, markets=services.enabled_markets):
    feed, stop, beats = Feed(), threading.Event(), []
    arguments = (markets, feed.on_closed, stop)
    thread = threading.Thread(target=stream.run, args=arguments, kwargs={"beat": beats.append, "pace": pace})
    feed.beats = beats
    thread.start()
    try:
        yield feed
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not thread.is_alive()
        connection.close()


def eventually(claim, seconds=25):
    until = clock.monotonic() + seconds
    pause = threading.Event()
    while clock.monotonic() < until:
        if claim():
            return True
        pause.wait(0.05)
    return claim()


def is_complete(feed, until):
    wanted = list(range(until - 50 * STEP, until, STEP))
    return all(set(wanted) <= set(feed.opens(symbol)) for symbol in ("BTCUSDT", "ETHUSDT"))


def test_closed_candles_of_all_markets_arrive_in_one_round_without_a_request(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        assert eventually(lambda: {"BTCUSDT": [START], "ETHUSDT": [START]} in feed.rounds)
        assert eventually(lambda: is_complete(feed, START + STEP))
        assert Candle.objects.filter(open_time=START, origin="stream").count() == 2
        assert eventually(lambda: ExchangeState.objects.get().last_message_at is not None)
        assert feed.beats[-1]["markets"] == 2


@pytest.mark.parametrize("kind", ["cut", "garbled", "duplicate", "reorder", "unsent", "burst", "shutdown"])
def test_no_fault_of_the_stream_loses_a_candle(exchange, markets, kind):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        exchange.faults.add(Fault(kind, seconds=0.3, times=4))
        for _ in range(3):
            close_candles(exchange, 1)
        exchange.faults.clear()
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 4 * STEP))
        if kind == "garbled":
            assert eventually(QuarantinedMessage.objects.filter(origin="stream").exists)
    assert max(feed.opens("BTCUSDT")) == START + 3 * STEP


def test_a_socket_that_falls_silent_is_replaced(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        exchange.faults.add(Fault("silence"))
        close_candles(exchange, 2)
        assert eventually(lambda: is_complete(feed, START + 2 * STEP))
        assert eventually(lambda: ExchangeState.objects.get().reconnects >= 2)
        exchange.faults.clear()
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 3 * STEP))


PATIENT = FeedTimings(silence=60.0, longest_wait=0.4, handover=5.0, clock_period=0.5, fast_clock_period=0.5)
"""Nothing but what a test is about makes this feed act."""


def test_a_close_that_no_socket_delivers_is_fetched_while_the_socket_goes_on(exchange, markets):
    exchange.faults.add(Fault("unsent"))
    with feeding(PATIENT) as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP))
    assert exchange.hub.accepted == 1
    assert not Candle.objects.filter(origin="stream").exists()


def test_what_closed_while_no_socket_was_there_is_fetched_when_one_is_there_again(exchange, markets):
    """Before a close is called late: a new connection alone is reason enough to look."""
    exchange.faults.add(Fault("unsent"))
    with feeding(FeedTimings(silence=60.0, longest_wait=0.4, clock_period=60.0, fast_clock_period=60.0)) as feed:
        assert eventually(lambda: is_complete(feed, START))
        threading.Event().wait(1.0)  # a reading under way would take the jump for a fast clock
        exchange.advance_to(START + STEP + 3_500)
        exchange.faults.add(Fault("cut"))
        assert eventually(lambda: is_complete(feed, START + STEP))
    assert exchange.hub.accepted == 2


class Watched(set):
    """Connections, and how few there ever were after the first."""

    fewest = 99

    def discard(self, connection):
        super().discard(connection)
        self.fewest = min(self.fewest, len(self))


@pytest.mark.parametrize("reason", ["planned", "shutdown"])
def test_the_next_socket_is_accepted_before_the_old_one_goes(exchange, markets, reason):
    exchange.hub.connections = Watched()
    lifetime = 0.5 if reason == "planned" else 3600.0
    with feeding(FeedTimings(silence=60.0, lifetime=lifetime, longest_wait=0.4, handover=10.0)) as feed:
        assert eventually(lambda: len(exchange.hub.connections) == 1)
        if reason == "shutdown":
            exchange.faults.add(Fault("shutdown", seconds=8.0))
        assert eventually(lambda: exchange.hub.accepted >= 2)
        assert eventually(lambda: exchange.hub.connections.fewest < 99)
        assert exchange.hub.connections.fewest >= 1
        assert eventually(lambda: is_complete(feed, START))


def test_a_burst_beyond_any_queue_loses_nothing(exchange, markets):
    """Closing messages are all the feed queues, so these must run over what it holds between two turns."""
    beyond = QUEUE + 2_000
    exchange.faults.add(
        Fault("burst", times=1, count=beyond, symbol="BTCUSDT"),
        Fault("repeats", times=1, count=beyond, symbol="ETHUSDT"),
    )
    with feeding(PATIENT) as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 2 * STEP))
    assert not CandleRevision.objects.exists()


def test_closes_that_come_faster_than_they_are_taken_are_fetched(exchange, markets, monkeypatch):
    """A queue of one message, and an inbox of one candle: both run over at every close."""
    monkeypatch.setattr("marketdata.exchange.QUEUE", 1)
    monkeypatch.setattr("marketdata.inbox.MOST_CANDLES", 1)
    exchange.faults.add(Fault("duplicate"))
    with feeding(PATIENT) as feed:
        assert eventually(lambda: is_complete(feed, START))
        for count in range(1, 4):
            close_candles(exchange, 1)
            assert eventually(lambda count=count: is_complete(feed, START + count * STEP))


def test_the_feed_outlives_an_exchange_that_is_away(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        exchange.faults.add(Fault("offline"))
        exchange.advance_to(exchange.now_ms() + 3 * STEP)
        threading.Event().wait(2.0)
        exchange.faults.clear()
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 4 * STEP), 40)


def test_a_planned_handover_loses_nothing(exchange, markets):
    pace = FeedTimings(
        silence=5.0, lifetime=0.5, longest_wait=0.4, handover=5.0, clock_period=0.5, fast_clock_period=0.5
    )
    with feeding(pace) as feed:
        assert eventually(lambda: is_complete(feed, START))
        for count in range(1, 5):
            close_candles(exchange, 1)
            assert eventually(lambda count=count: is_complete(feed, START + count * STEP))
        assert eventually(lambda: ExchangeState.objects.get().reconnects >= 3)


def test_a_round_that_fails_comes_again(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        feed.failing = 2
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP))
        assert feed.failing == 0


class Stumbling:
    """Calls through, but raises this now and again."""

    def __init__(self, really, errors):
        self.really, self.errors, self.calls = really, list(errors), 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.really(*arguments)


TROUBLE = [
    OperationalError("the connection is lost"),
    InterfaceError("the cursor is closed"),
    psycopg.OperationalError("terminating connection due to administrator command"),
    TimeoutError(),
    RuntimeError("anything at all"),
]


def test_nothing_but_a_wrong_setting_ends_the_feed(exchange, markets, monkeypatch):
    monkeypatch.setattr(stream, "MARKETS_SECONDS", 0.1)
    monkeypatch.setattr(stream, "Backoff", lambda *_: Backoff(0.05, 0.2))
    listing = Stumbling(services.enabled_markets, TROUBLE)
    newest = Stumbling(store.newest_open, TROUBLE)
    monkeypatch.setattr(store, "newest_open", newest)
    with feeding(markets=listing) as feed:
        assert eventually(lambda: is_complete(feed, START), 60)
        newest.errors = list(TROUBLE)
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP), 60)
    assert listing.errors == newest.errors == []
    supervisor = stream.Supervisor(Stumbling(list, [ImproperlyConfigured("no such host")]), feed.on_closed, None, PACE)
    with pytest.raises(ImproperlyConfigured):
        supervisor.run_once()


def test_what_was_refused_while_the_database_is_away_is_written_down_later(exchange, markets, monkeypatch):
    keep = Stumbling(quarantine.store, TROUBLE[:3])
    monkeypatch.setattr(quarantine, "keep", keep)
    exchange.faults.add(Fault("garbled"))
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        for _ in range(3):
            close_candles(exchange, 1)
        assert eventually(lambda: QuarantinedMessage.objects.filter(origin="stream").count() == 6, 40)
    assert keep.errors == []


def test_a_market_enabled_later_is_followed(exchange, markets, monkeypatch):
    monkeypatch.setattr(stream, "MARKETS_SECONDS", 0.3)
    Market.objects.filter(symbol="ETHUSDT").update(enabled=False)
    with feeding() as feed:
        assert eventually(lambda: len(feed.opens("BTCUSDT")) >= 50)
        assert not feed.opens("ETHUSDT")
        Market.objects.filter(symbol="ETHUSDT").update(enabled=True)
        assert eventually(lambda: is_complete(feed, START))


def test_the_exchange_s_clock_and_limits_are_shared(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        assert eventually(lambda: ExchangeState.objects.get().clock_market_ms == exchange.now_ms())
        state = ExchangeState.objects.get()
        assert (state.base_url, state.weight_limit) == (exchange.base_url, 6000)
