"""The live feed's supervisor: collects closed candles into rounds, has gaps repaired, and never ends by itself.

Sockets live in a thread of their own (`sockets`); this one stores, and alone touches the database.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connection, transaction
from django.db.models import F

from marketdata import clock, quarantine, store
from marketdata.backoff import Backoff
from marketdata.inbox import Frames, Inbox
from marketdata.intervals import last_closed_open
from marketdata.lookout import Lookout
from marketdata.models import Candle, ExchangeState, Market
from marketdata.sockets import Pace, Sockets

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
    pace: Pace | None = None,
) -> None:
    """Feed `on_closed` with closed candles by symbol until `stop` is set.

    It is called with no candles at all after every (re)connection and when a close is late, so that
    it fetches what is missing; if it raises, its candles come again.
    """
    supervisor = Supervisor(markets, on_closed, beat, pace or Pace())
    supervisor.sockets.start()
    lookout = threading.Thread(target=supervisor.lookout.run, args=(stop,), name="feed-lookout", daemon=True)
    lookout.start()
    try:
        while not stop.is_set():
            supervisor.turn()
    finally:
        supervisor.sockets.stop()
        lookout.join(JOIN_SECONDS)
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
        self.lookout = Lookout(pace, self._take_reading)
        self._list_markets, self._on_closed, self._beat = markets, on_closed, beat
        self._markets: list[Market] = []
        self._backoff = Backoff(0.5, 10.0)
        self._repair_due = False
        self._not_before = self._ask_again_at = self._asleep_until = 0.0
        self._vain = Backoff(0.5, 60.0)
        self._listed_at = self._beaten_at = float("-inf")
        self._complete_until = 0
        self._counted = 0

    def turn(self) -> None:
        """One look at everything: news, a round if one is ready, signs of life; only a wrong setting ends it."""
        self.inbox.wait(self._patience())
        if clock.monotonic() < self._asleep_until:
            return
        try:
            self._refresh_markets()
            self._read_news()
            self._look_for_late_closes()
            now = clock.monotonic()
            repair = self._repair_due and now >= self._ask_again_at
            if now >= self._not_before and (repair or self._round_is_ready()):
                self._pass()
            self._keep_refused()
            self._show_life()
        except ImproperlyConfigured:
            raise
        except Exception as error:  # what was heard waits in the inbox meanwhile
            if isinstance(error, DatabaseTrouble):
                log.warning("feed_waits_for_database", reason=str(error)[:200])
            else:
                log.exception("feed_stumbled", reason=str(error)[:200])
            self._not_before = self._asleep_until = clock.monotonic() + self._backoff.next_seconds()
            _leave_broken_connections()

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
        listed = list(self._list_markets())
        changed = {market.symbol for market in listed} != {market.symbol for market in self._markets}
        if changed:
            self.sockets.follow([market.symbol for market in listed])
        self._markets = self.lookout.markets = listed
        self._listed_at = clock.monotonic()

    def _take_reading(self, reading: clock.Reading) -> None:
        self.sockets.reading = reading

    def _read_news(self) -> None:
        news = self.inbox.take_news()
        if news.connected or news.overflowed:
            self._repair_due = True

    def _keep_refused(self) -> None:
        """Write down some of what was not believed; a flood of it must not hold up candles."""
        refused = self.inbox.take_refused(quarantine.KEPT_AT_ONCE)
        if not refused:
            return
        by_symbol = {market.symbol: market for market in self._markets}
        by_market: dict[Market | None, list[tuple[object, str]]] = {}
        for raw, reason in refused:
            by_market.setdefault(by_symbol.get(_named_symbol(raw)), []).append((raw, reason))
        try:
            with transaction.atomic():
                for market, messages in by_market.items():
                    quarantine.keep(market, Candle.Origin.STREAM, messages)
        except BaseException:
            self.inbox.give_back_refused(refused)
            raise

    def _round_is_ready(self) -> bool:
        """All markets are in, nothing new for a moment, or the first candle has waited long enough."""
        first, last = self.inbox.first_at, self.inbox.last_at
        if first is None or last is None:
            return False
        if {market.symbol for market in self._markets if not market.is_halted} <= self.inbox.symbols_of_newest():
            return True
        now = clock.monotonic()
        return now - last >= QUIET_SECONDS or now - first >= ROUND_SECONDS

    def _look_for_late_closes(self) -> None:
        """Have a close fetched that no socket delivered in time, once a candle and again while it is missing."""
        head = last_closed_open(clock.market_ms() - LATE_MS)
        if head <= self._complete_until or not self._markets or clock.monotonic() < self._not_before:
            return
        waiting = [m for m in self._markets if not (m.is_halted or quarantine.is_set_aside(m))]
        newest = store.newest_open(waiting)
        if all(at is not None and at >= head for at in newest.values()):
            self._complete_until = head
            self._vain.reset()
            self.lookout.in_doubt = False
            return
        self._repair_due = self.lookout.in_doubt = True

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
            _leave_broken_connections()
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


def _leave_broken_connections() -> None:
    with suppress(DatabaseTrouble):
        close_old_connections()


def _named_symbol(raw: object) -> str:
    body = raw.get("data", raw) if isinstance(raw, dict) else None
    symbol = body.get("s") if isinstance(body, dict) else None
    return symbol if isinstance(symbol, str) else ""
