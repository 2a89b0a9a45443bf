"""The live feed: collects closed candles into rounds and triggers repairs of gaps.

Websockets run in a thread of their own (`sockets`); this one stores candles and alone uses the database.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction
from django.db.models import F

from indicators.features import installed
from marketdata import clock
from marketdata.coverage import quarantine
from marketdata.exchange.backoff import Backoff
from marketdata.feed.inbox import Frames, Inbox
from marketdata.feed.sockets import FeedTimings, Sockets
from marketdata.feed.status_poller import ExchangeStatusPoller
from marketdata.intervals import last_closed_open
from marketdata.models import Candle, ExchangeState, Market
from marketdata.storage import candles

QUIET_SECONDS = 0.05
ROUND_SECONDS = 2.0
LATE_MS = 5_000
BEAT_SECONDS = 5.0
MARKETS_SECONDS = 15.0
JOIN_SECONDS = 15.0

log = structlog.get_logger(__name__)
OnClosed = Callable[[Frames], object]
Beat = Callable[[Mapping[str, Any]], None]


def run(
    markets: Callable[[], Sequence[Market]],
    on_closed: OnClosed,
    stop: threading.Event,
    *,
    beat: Beat | None = None,
    pace: FeedTimings | None = None,
) -> None:
    """Call `on_closed` with closed candles by symbol until `stop` is set.

    It is called without candles after every (re)connection and when a close is late, so that it fetches missing
    candles; if it raises, its candles are delivered again.
    """
    supervisor = Supervisor(markets, on_closed, beat, pace or FeedTimings())
    supervisor.sockets.start()
    poller = threading.Thread(target=supervisor.status_poller.run, args=(stop,), name="feed-status-poller", daemon=True)
    poller.start()
    try:
        while not stop.is_set():
            supervisor.run_once()
    finally:
        supervisor.sockets.stop()
        poller.join(JOIN_SECONDS)
        connection.close()


class Supervisor:
    """State and main loop of one running feed."""

    def __init__(
        self,
        markets: Callable[[], Sequence[Market]],
        on_closed: OnClosed,
        beat: Beat | None,
        pace: FeedTimings,
        sockets: Sockets | None = None,
    ) -> None:
        self.sockets = sockets or Sockets(Inbox(), pace)
        self.inbox = self.sockets.inbox
        self.status_poller = ExchangeStatusPoller(pace, partial(setattr, self.sockets, "reading"))
        self._list_markets, self._on_closed, self._beat = markets, on_closed, beat
        self._markets: list[Market] = []
        self._backoff = Backoff(0.5, 10.0)
        self._repair_due = False
        self._not_before = self._next_repair_at = self._paused_until = 0.0
        self._repair_backoff = Backoff(0.5, 60.0)
        self._listed_at = self._heartbeat_at = float("-inf")
        self._complete_until = 0
        self._counted = 0

    def run_once(self) -> None:
        """Run one iteration: events, a round if one is ready, heartbeat.

        Errors are logged and retried; only a wrong setting is raised.
        """
        self.inbox.wait(self._wait_seconds())
        if clock.monotonic() < self._paused_until:
            return
        try:
            self._refresh_markets()
            events = self.inbox.take_events()
            self._repair_due |= events.connected or events.overflowed
            self._check_late_closes()
            now = clock.monotonic()
            repair = self._repair_due and now >= self._next_repair_at
            if now >= self._not_before and (repair or self._round_is_ready()):
                self._deliver()
            self._store_refused()
            self._send_heartbeat()
        except ImproperlyConfigured:
            raise
        except Exception as error:  # received candles stay in the inbox meanwhile
            if isinstance(error, DatabaseError):
                log.warning("feed_waits_for_database", reason=str(error)[:200])
            else:
                log.exception("feed_stumbled", reason=str(error)[:200])
            self._not_before = self._paused_until = clock.monotonic() + self._backoff.next_seconds()
            _close_broken_connections()

    def _wait_seconds(self) -> float:
        """Maximum seconds to wait for the inbox."""
        now = clock.monotonic()
        if self._not_before > now:
            return min(self._not_before - now, 0.5)
        if self.inbox.last_at is not None:
            return max(0.001, self.inbox.last_at + QUIET_SECONDS - now)
        return max(0.02, min(0.5, 0.5 / max(clock.market_rate(), 1.0) * 10))

    def _refresh_markets(self) -> None:
        if clock.monotonic() - self._listed_at < MARKETS_SECONDS:
            return
        listed = list(self._list_markets())
        changed = {market.symbol for market in listed} != {market.symbol for market in self._markets}
        if changed:
            self.sockets.follow([market.symbol for market in listed])
        self._markets = self.status_poller.markets = listed
        self.inbox.expected = sum(not market.is_halted for market in listed)
        self._listed_at = clock.monotonic()

    def _store_refused(self) -> None:
        """Store some refused messages; many of them must not delay candles."""
        refused = self.inbox.take_refused(quarantine.MAX_STORED)
        if not refused:
            return
        by_symbol = {market.symbol: market for market in self._markets}
        by_market: dict[Market | None, list[tuple[object, str]]] = {}
        for raw, reason in refused:
            by_market.setdefault(by_symbol.get(_named_symbol(raw)), []).append((raw, reason))
        try:
            with transaction.atomic():
                for market, messages in by_market.items():
                    quarantine.store(market, Candle.Origin.STREAM, messages)
        except BaseException:
            self.inbox.put_back_refused(refused)
            raise

    def _round_is_ready(self) -> bool:
        """Whether all markets are in, no candle came recently, or one waited too long.

        A market that features of others read is waited for longer than for a recent candle.
        """
        first, last = self.inbox.first_at, self.inbox.last_at
        if first is None or last is None:
            return False
        arrived = self.inbox.symbols_of_newest()
        missing = {market.symbol for market in self._markets if not market.is_halted} - arrived
        if not missing:
            return True
        now = clock.monotonic()
        is_quiet = now - last >= QUIET_SECONDS and not missing & set(installed().other_markets)
        return is_quiet or now - first >= ROUND_SECONDS

    def _check_late_closes(self) -> None:
        """Trigger repairs while a candle that should have been delivered is missing."""
        head = last_closed_open(clock.market_ms() - LATE_MS)
        if head <= self._complete_until or not self._markets or clock.monotonic() < self._not_before:
            return
        waiting = [m for m in self._markets if not (m.is_halted or quarantine.is_suspended(m))]
        newest = candles.newest_open(waiting)
        if all(at is not None and at >= head for at in newest.values()):
            self._complete_until = head
            self._repair_backoff.reset()
            self.status_poller.is_close_overdue = False
            return
        self._repair_due = self.status_poller.is_close_overdue = True

    def _deliver(self) -> None:
        """Deliver a round to `on_closed`; if that fails its candles are put back."""
        frames = self.inbox.take_closed()
        repairing, self._repair_due = self._repair_due, False
        try:
            self._on_closed(frames)
        except Exception as error:  # no error of the callback may stop the feed
            log.exception("round_failed", reason=str(error)[:200])
            self.inbox.put_back(frames)
            self._repair_due = repairing
            self._not_before = clock.monotonic() + self._backoff.next_seconds()
            _close_broken_connections()
        else:
            self._backoff.reset()
            if repairing:  # it may have been without result: do not repeat it immediately
                self._next_repair_at = clock.monotonic() + self._repair_backoff.next_seconds()

    def _send_heartbeat(self) -> None:
        if clock.monotonic() - self._heartbeat_at < BEAT_SECONDS:
            return
        self._heartbeat_at = clock.monotonic()
        silent = None if self.inbox.last_message_at is None else clock.monotonic() - self.inbox.last_message_at
        if silent is not None:
            last_message = clock.to_datetime(clock.wall_ms() - round(silent * 1000))
            ExchangeState.objects.filter(pk=1).update(
                last_message_at=last_message, reconnects=F("reconnects") + self.sockets.connections - self._counted
            )
            self._counted = self.sockets.connections
        if self._beat is not None:
            self._beat({"markets": len(self._markets), "silent_seconds": silent, "clock_rate": clock.market_rate()})


def _close_broken_connections() -> None:
    with suppress(DatabaseError):
        close_old_connections()


def _named_symbol(raw: object) -> str:
    body = raw.get("data", raw) if isinstance(raw, dict) else None
    symbol = body.get("s") if isinstance(body, dict) else None
    return symbol if isinstance(symbol, str) else ""
