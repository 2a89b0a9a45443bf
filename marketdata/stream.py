"""The live feed's supervisor: collects closed candles into rounds, has gaps repaired, and never ends by itself.

Sockets live in a thread of their own (`sockets`); this one stores, and alone touches the database.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F

from marketdata import clock, quarantine, store, weight
from marketdata.backoff import Backoff
from marketdata.inbox import Frames, Inbox, News
from marketdata.intervals import last_closed_open
from marketdata.models import Candle, ExchangeState, Market
from marketdata.sockets import Pace, Sockets

QUIET_SECONDS = 0.05
ROUND_SECONDS = 2.0
LATE_MS = 5_000
BEAT_SECONDS = 5.0
MARKETS_SECONDS = 15.0

log = structlog.get_logger(__name__)
OnClosed = Callable[[Frames], object]
Beat = Callable[[Mapping[str, Any]], None]


def run(
    markets: Callable[[], Sequence[Market]],
    on_closed: OnClosed,
    stop: threading.Event,
    *,
    beat: Beat | None = None,
    pace: Pace | None = None,
) -> None:
    """Feed `on_closed` with closed candles by symbol until `stop` is set.

    It is called with no candles at all after every (re)connection and when a close is late, so that
    it fetches what is missing; if it raises, its candles come again.
    """
    supervisor = Supervisor(markets, on_closed, beat, pace or Pace())
    supervisor.sockets.start()
    try:
        while not stop.is_set():
            supervisor.turn()
    finally:
        supervisor.sockets.stop()
        connection.close()


class Supervisor:
    """The state of one running feed."""

    def __init__(
        self,
        markets: Callable[[], Sequence[Market]],
        on_closed: OnClosed,
        beat: Beat | None,
        pace: Pace,
        sockets: Sockets | None = None,
    ) -> None:
        self.sockets = sockets or Sockets(Inbox(), pace)
        self.inbox = self.sockets.inbox
        self._list_markets, self._on_closed, self._beat = markets, on_closed, beat
        self._markets: list[Market] = []
        self._backoff = Backoff(0.5, 10.0)
        self._repair_due = False
        self._not_before = self._ask_again_at = 0.0
        self._vain = Backoff(0.5, 60.0)
        self._listed_at = self._beaten_at = float("-inf")
        self._complete_until = 0
        self._counted = 0

    def turn(self) -> None:
        """One look at everything: news, a round if one is ready, signs of life."""
        self.inbox.wait(self._patience())
        try:
            self._refresh_markets()
            self._read_news(self.inbox.take_news())
            self._look_for_late_closes()
            now = clock.monotonic()
            repair = self._repair_due and now >= self._ask_again_at
            if now >= self._not_before and (repair or self._round_is_ready()):
                self._pass()
            self._show_life()
        except DatabaseError as error:
            log.warning("feed_waits_for_database", reason=str(error)[:200])
            self._not_before = clock.monotonic() + self._backoff.next_seconds()
            close_old_connections()

    def _patience(self) -> float:
        """Seconds nothing need happen for."""
        now = clock.monotonic()
        if self._not_before > now:
            return min(self._not_before - now, 0.5)
        if self.inbox.last_at is not None:
            return max(0.001, self.inbox.last_at + QUIET_SECONDS - now)
        return max(0.02, min(0.5, 0.5 / max(clock.market_rate(), 1.0) * 10))

    def _refresh_markets(self) -> None:
        if clock.monotonic() - self._listed_at < MARKETS_SECONDS:
            return
        self._listed_at = clock.monotonic()
        listed = list(self._list_markets())
        changed = {market.symbol for market in listed} != {market.symbol for market in self._markets}
        self._markets = listed
        self.sockets.banned_until_ms = max(self.sockets.banned_until_ms, weight.banned_until() or 0)
        if changed:
            self.sockets.follow([market.symbol for market in listed])

    def _read_news(self, news: News) -> None:
        if news.reading is not None:
            clock.record_reading(news.reading)
        if news.banned_until_ms is not None:
            weight.ban(news.banned_until_ms)
        if news.weight_limit:
            weight.set_limit(news.weight_limit)
        if news.connected or news.overflowed:
            self._repair_due = True
        by_symbol = {market.symbol: market for market in self._markets}
        refused: dict[str, list[tuple[object, str]]] = {}
        for raw, reason in news.refused:
            refused.setdefault(_named_symbol(raw), []).append((raw, reason))
        for symbol, messages in refused.items():
            for start in range(0, len(messages), quarantine.KEPT_AT_ONCE):
                part = messages[start : start + quarantine.KEPT_AT_ONCE]
                quarantine.keep(by_symbol.get(symbol), Candle.Origin.STREAM, part)
        for symbol, status in news.statuses.items():
            if symbol in by_symbol and status != "TRADING":
                Market.objects.filter(pk=by_symbol[symbol].pk).update(status=f"the exchange says {status}"[:200])

    def _round_is_ready(self) -> bool:
        """All markets are in, nothing new for a moment, or the first candle has waited long enough."""
        first, last = self.inbox.first_at, self.inbox.last_at
        if first is None or last is None:
            return False
        if {market.symbol for market in self._markets} <= self.inbox.symbols_of_newest():
            return True
        now = clock.monotonic()
        return now - last >= QUIET_SECONDS or now - first >= ROUND_SECONDS

    def _look_for_late_closes(self) -> None:
        """Have a close fetched that no socket delivered in time, once a candle and again while it is missing."""
        head = last_closed_open(clock.market_ms() - LATE_MS)
        if head <= self._complete_until or not self._markets or clock.monotonic() < self._not_before:
            return
        waiting = [market for market in self._markets if not quarantine.is_set_aside(market)]
        newest = store.newest_open(waiting)
        if all(at is not None and at >= head for at in newest.values()):
            self._complete_until = head
            self._vain.reset()
            return
        self._repair_due = True

    def _pass(self) -> None:
        """Hand a round over; what could not be handled comes back."""
        frames = self.inbox.take_closed()
        repairing, self._repair_due = self._repair_due, False
        try:
            self._on_closed(frames)
        except Exception as error:  # whatever goes wrong above, the feed goes on
            log.exception("round_failed", reason=str(error)[:200])
            self.inbox.give_back(frames)
            self._repair_due = repairing
            self._not_before = clock.monotonic() + self._backoff.next_seconds()
            close_old_connections()
        else:
            self._backoff.reset()
            if repairing:  # perhaps in vain: do not ask in a circle
                self._ask_again_at = clock.monotonic() + self._vain.next_seconds()

    def _show_life(self) -> None:
        if clock.monotonic() - self._beaten_at < BEAT_SECONDS:
            return
        self._beaten_at = clock.monotonic()
        silent = None if self.inbox.heard_at is None else clock.monotonic() - self.inbox.heard_at
        if silent is not None:
            heard = clock.to_datetime(clock.wall_ms() - round(silent * 1000))
            ExchangeState.objects.filter(pk=1).update(
                last_message_at=heard, reconnects=F("reconnects") + self.sockets.connections - self._counted
            )
            self._counted = self.sockets.connections
        if self._beat is not None:
            self._beat({"markets": len(self._markets), "silent_seconds": silent, "clock_rate": clock.market_rate()})


def _named_symbol(raw: object) -> str:
    body = raw.get("data", raw) if isinstance(raw, dict) else None
    symbol = body.get("s") if isinstance(body, dict) else None
    return symbol if isinstance(symbol, str) else ""
