"""The live feed loses no closed candle under faults of a simulated exchange."""

import threading
from contextlib import contextmanager

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connection

from indicators.features import FeatureSet, feature_set, reads_markets
from marketdata import clock, services
from marketdata.coverage import quarantine
from marketdata.exchange.backoff import Backoff
from marketdata.exchange.client import QUEUE_SIZE
from marketdata.feed import supervisor as stream
from marketdata.feed.inbox import Inbox
from marketdata.feed.sockets import FeedTimings
from marketdata.models import Candle, CandleRevision, ExchangeState, Market, QuarantinedMessage
from marketdata.simulator.faults import Fault
from marketdata.storage import candles
from tests.champions import candle_rows
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
            raise ValueError("the callback failed")
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


def eventually(condition, seconds=25):
    until = clock.monotonic() + seconds
    pause = threading.Event()
    while clock.monotonic() < until:
        if condition():
            return True
        pause.wait(0.05)
    return condition()


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


def test_a_socket_without_messages_is_replaced(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        exchange.faults.add(Fault("silence"))
        close_candles(exchange, 2)
        assert eventually(lambda: is_complete(feed, START + 2 * STEP))
        assert eventually(lambda: ExchangeState.objects.get().reconnects >= 2)
        exchange.faults.clear()
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 3 * STEP))


SLOW_PACE = FeedTimings(silence=60.0, longest_wait=0.4, handover=5.0, clock_period=0.5, fast_clock_period=0.5)
"""Timings under which only the event of a test triggers the feed."""


def test_a_close_missing_on_the_socket_is_fetched_without_reconnecting(exchange, markets):
    exchange.faults.add(Fault("unsent"))
    with feeding(SLOW_PACE) as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP))
    assert exchange.hub.accepted == 1
    assert not Candle.objects.filter(origin="stream").exists()


def test_a_candle_closed_without_connection_is_fetched_after_reconnecting(exchange, markets):
    """A new connection alone triggers a repair, before a close counts as late."""
    exchange.faults.add(Fault("unsent"))
    with feeding(FeedTimings(silence=60.0, longest_wait=0.4, clock_period=60.0, fast_clock_period=60.0)) as feed:
        assert eventually(lambda: is_complete(feed, START))
        threading.Event().wait(1.0)  # a clock reading in progress would measure the jump as a fast rate
        exchange.advance_to(START + STEP + 3_500)
        exchange.faults.add(Fault("cut"))
        assert eventually(lambda: is_complete(feed, START + STEP))
    assert exchange.hub.accepted == 2


class CountedConnections(set):
    """Connections, with their minimum number after the first removal."""

    minimum = 99

    def discard(self, connection):
        super().discard(connection)
        self.minimum = min(self.minimum, len(self))


@pytest.mark.parametrize("reason", ["planned", "shutdown"])
def test_the_next_socket_is_accepted_before_the_old_one_is_closed(exchange, markets, reason):
    exchange.hub.connections = CountedConnections()
    lifetime = 0.5 if reason == "planned" else 3600.0
    with feeding(FeedTimings(silence=60.0, lifetime=lifetime, longest_wait=0.4, handover=10.0)) as feed:
        assert eventually(lambda: len(exchange.hub.connections) == 1)
        if reason == "shutdown":
            exchange.faults.add(Fault("shutdown", seconds=8.0))
        assert eventually(lambda: exchange.hub.accepted >= 2)
        assert eventually(lambda: exchange.hub.connections.minimum < 99)
        assert exchange.hub.connections.minimum >= 1
        assert eventually(lambda: is_complete(feed, START))


def test_a_burst_beyond_the_queue_loses_nothing(exchange, markets):
    """Only closing messages are queued, so these must exceed the queue between two iterations."""
    beyond = QUEUE_SIZE + 2_000
    exchange.faults.add(
        Fault("burst", times=1, count=beyond, symbol="BTCUSDT"),
        Fault("repeats", times=1, count=beyond, symbol="ETHUSDT"),
    )
    with feeding(SLOW_PACE) as feed:
        assert eventually(lambda: is_complete(feed, START))
        close_candles(exchange, 1)
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + 2 * STEP))
    assert not CandleRevision.objects.exists()


def test_closes_dropped_by_full_queues_are_fetched(exchange, markets, monkeypatch):
    """A queue of one message and an inbox of one candle overflow at every close."""
    monkeypatch.setattr("marketdata.exchange.client.QUEUE_SIZE", 1)
    monkeypatch.setattr("marketdata.feed.inbox.MAX_CANDLES", 1)
    exchange.faults.add(Fault("duplicate"))
    with feeding(SLOW_PACE) as feed:
        assert eventually(lambda: is_complete(feed, START))
        for count in range(1, 4):
            close_candles(exchange, 1)
            assert eventually(lambda count=count: is_complete(feed, START + count * STEP))


def test_the_feed_continues_after_an_outage_of_the_exchange(exchange, markets):
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


def test_a_failed_round_is_repeated(exchange, markets):
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        feed.failing = 2
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP))
        assert feed.failing == 0


class FailingFirst:
    """A function that first raises the given errors, then calls the original."""

    def __init__(self, original, errors):
        self.original, self.errors, self.calls = original, list(errors), 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.original(*arguments)


ERRORS = [
    OperationalError("the connection is lost"),
    InterfaceError("the cursor is closed"),
    psycopg.OperationalError("terminating connection due to administrator command"),
    TimeoutError(),
    RuntimeError("anything at all"),
]


def test_only_a_wrong_setting_ends_the_feed(exchange, markets, monkeypatch):
    monkeypatch.setattr(stream, "MARKETS_SECONDS", 0.1)
    monkeypatch.setattr(stream, "Backoff", lambda *_: Backoff(0.05, 0.2))
    listing = FailingFirst(services.enabled_markets, ERRORS)
    newest = FailingFirst(candles.newest_open, ERRORS)
    monkeypatch.setattr(candles, "newest_open", newest)
    with feeding(markets=listing) as feed:
        assert eventually(lambda: is_complete(feed, START), 60)
        newest.errors = list(ERRORS)
        close_candles(exchange, 1)
        assert eventually(lambda: is_complete(feed, START + STEP), 60)
    assert listing.errors == newest.errors == []
    supervisor = stream.Supervisor(
        FailingFirst(list, [ImproperlyConfigured("no such host")]), feed.on_closed, None, PACE
    )
    with pytest.raises(ImproperlyConfigured):
        supervisor.run_once()


def test_messages_refused_during_a_database_outage_are_stored_later(exchange, markets, monkeypatch):
    storing = FailingFirst(quarantine.store, ERRORS[:3])
    monkeypatch.setattr(quarantine, "store", storing)
    exchange.faults.add(Fault("garbled"))
    with feeding() as feed:
        assert eventually(lambda: is_complete(feed, START))
        for _ in range(3):
            close_candles(exchange, 1)
        assert eventually(lambda: QuarantinedMessage.objects.filter(origin="stream").count() == 6, 40)
    assert storing.errors == []


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


@reads_markets("BTCUSDT")
def _lead(window):
    yield "lead", window.other("BTCUSDT", lambda btc: btc.returns)


@pytest.mark.parametrize(
    ("missing", "reads", "waits"), [("BTCUSDT", True, True), ("BTCUSDT", False, False), ("ETHUSDT", True, False)]
)
def test_a_market_that_features_read_is_waited_for_up_to_two_seconds(missing, reads, waits, monkeypatch):
    monkeypatch.setattr(feature_set, "_installed", FeatureSet((_lead,) if reads else ()))
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    feed = stream.Supervisor(list, lambda _: None, None, PACE)
    feed._markets = [Market(symbol=symbol, source="exchange") for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")]
    (row,) = candle_rows("BTCUSDT", START, 1)
    for market in feed._markets:
        if market.symbol != missing:
            feed.inbox.put_closed(market.symbol, row)
    now[0] += stream.QUIET_SECONDS + 0.01
    assert feed._round_is_ready() is not waits
    now[0] = 100.0 + stream.ROUND_SECONDS - 0.01
    assert feed._round_is_ready() is not waits
    now[0] += 0.02
    assert feed._round_is_ready()


def test_the_reader_is_woken_by_the_first_and_by_the_last_candle_of_a_round():
    inbox, rows = Inbox(), candle_rows("BTCUSDT", START, 1)
    inbox.expected = 4
    woken = []
    for symbol in ("A", "B", "C", "D", "E"):
        inbox.put_closed(symbol, rows[0])
        woken.append(inbox._is_notified)
        inbox.wait(0)
    assert woken == [True, False, False, True, True]
