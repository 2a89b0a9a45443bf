"""Hub of a process: delivers every signal, encoded once, to the subscribers of this process.

Embedded, the publisher passes each signal to it. In production announcements name symbols, and a thread of the
hub reads their new signals from the log, the only trusted source. The same thread compares what was delivered
with the log every few seconds, so that lost announcements are made up for.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import connections

from marketdata import clock
from signals.delivery import announcements, protocol, replay
from signals.delivery.connections import Connection

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""Interval of comparing heads and checking keys: the longest delay by a lost announcement."""
MAX_RETRY_SECONDS = 5.0
EMPTY_READ_PAUSE_SECONDS = 0.05
"""Pause after an announcement without new signals, so that forged ones cannot load the database."""

Deliveries = dict[asyncio.AbstractEventLoop, list[tuple[list[Connection], protocol.Outgoing]]]
"""Connections of each event loop, and what they are sent, in order."""


class Hub:
    """Subscribers by symbol, and the last delivered seq of each symbol."""

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.revoked_keys: Callable[[set[str]], set[str]] | None = None
        self._subscribers: dict[str, set[Connection]] = {}
        self._connections: set[Connection] = set()
        self._announced: set[str] = set()
        self._next_poll = 0.0
        self._registry, self._order = threading.Lock(), threading.RLock()
        self._stopped, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def join(self, connection: Connection) -> None:
        """Add a connection, and start the thread if needed."""
        with self._registry:
            self._connections.add(connection)
            if self._thread is None or not self._thread.is_alive():
                self._stopped.clear()
                self._thread = threading.Thread(target=self._run, name="signal-hub", daemon=True)
                self._thread.start()

    def leave(self, connection: Connection) -> None:
        """Remove a connection."""
        with self._registry:
            self._connections.discard(connection)
            for symbol in list(self._subscribers):
                self._remove(connection, symbol)

    def subscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Subscribe a connection to symbols."""
        with self._registry:
            for symbol in symbols:
                self._subscribers.setdefault(symbol, set()).add(connection)

    def unsubscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Unsubscribe a connection from symbols."""
        with self._registry:
            for symbol in symbols:
                self._remove(connection, symbol)

    def count_of(self, key_id: str) -> int:
        """Number of connections of one key in this process."""
        with self._registry:
            return sum(connection.key_id == key_id for connection in self._connections)

    def note_heads(self, heads: dict[str, int]) -> None:
        """Store heads read from the log for symbols that have none here."""
        with self._order:
            for symbol, head in heads.items():
                self.heads.setdefault(symbol, head)

    def announce(self, symbols: Iterable[str]) -> None:
        """Request a read of the log for the subscribed ones of these symbols. Thread-safe."""
        with self._registry:
            self._announced.update(symbol for symbol in symbols if symbol in self._subscribers)
            if self._announced:
                self._wake.set()

    def publish(self, symbol: str, seq: int, payload: str) -> None:
        """Deliver one signal of the log; drops repeats and fills gaps. Thread-safe."""
        self._publish_all([(symbol, seq, payload)])

    def _publish_all(self, signals: Iterable[tuple[str, int, str]]) -> None:
        """Deliver signals, given as symbol, seq and payload, with one wake-up of each event loop."""
        with self._order:
            deliveries: Deliveries = {}
            try:
                for symbol, seq, payload in signals:
                    last = self.heads.get(symbol)
                    if last is not None and seq <= last:
                        continue
                    if last is not None and seq > last + 1:
                        self._fill(symbol, last, seq - 1)
                    self._prepare(deliveries, symbol, seq, payload)
            finally:  # heads are advanced already
                self._deliver(deliveries)

    def stop(self) -> None:
        """Stop the thread and clear all state."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=MAX_RETRY_SECONDS)
        with self._registry:
            self._connections.clear()
            self._subscribers.clear()
            self._announced.clear()
        self.heads.clear()

    def _remove(self, connection: Connection, symbol: str) -> None:
        subscribers = self._subscribers.get(symbol)
        if subscribers is not None:
            subscribers.discard(connection)
            if not subscribers:
                del self._subscribers[symbol]
                # Without subscribers, signals published meanwhile are no gap for the next subscriber.
                self.heads.pop(symbol, None)

    def _fill(self, symbol: str, after: int, until: int) -> None:
        while entries := replay.entries_after(symbol, after, until):
            deliveries: Deliveries = {}
            for seq, payload in entries:
                self._prepare(deliveries, symbol, seq, payload)
            self._deliver(deliveries)
            after = entries[-1][0]

    def _prepare(self, deliveries: Deliveries, symbol: str, seq: int, payload: str) -> None:
        """Add a signal for each event loop with subscribers of its symbol, and advance the head."""
        with self._registry:
            subscribers = list(self._subscribers.get(symbol, ()))
            if not subscribers:
                return
            self.heads[symbol] = seq
        message = protocol.signal(symbol, seq, payload)
        by_loop: dict[asyncio.AbstractEventLoop, list[Connection]] = {}
        for connection in subscribers:
            by_loop.setdefault(connection.loop, []).append(connection)
        for loop, part in by_loop.items():
            deliveries.setdefault(loop, []).append((part, message))

    def _deliver(self, deliveries: Deliveries) -> None:
        for loop, parts in deliveries.items():
            try:
                loop.call_soon_threadsafe(_offer, parts)
            except RuntimeError:  # its event loop was closed without a disconnect
                for connection in {connection for part, _ in parts for connection in part}:
                    self.leave(connection)

    def _run(self) -> None:
        listener = None if settings.EMBEDDED else announcements.Listener(self.announce, self._poll_soon)
        if listener is not None:
            listener.start()
        failures = 0
        self._poll_soon()
        try:
            while not self._stopped.is_set():
                try:
                    self._step()
                    failures = 0
                except Exception as error:  # noqa: BLE001  # the hub survives every failure of the database
                    failures += 1
                    logger.warning("the hub failed and retries: %s: %s", type(error).__name__, error)
                    self._poll_soon()  # it finds what was announced meanwhile
                    connections.close_all()
                    self._stopped.wait(min(MAX_RETRY_SECONDS, 0.1 * 2**failures))
        finally:
            if listener is not None:
                listener.stop()
            connections.close_all()

    def _step(self) -> None:
        """Wait for an announcement or the next poll, and read the log."""
        self._wake.wait(max(0.0, self._next_poll - clock.monotonic()))
        announced = self._take_announced()
        if clock.monotonic() >= self._next_poll:
            self._next_poll = clock.monotonic() + POLL_SECONDS
            self._poll()
        elif announced and not self._read_log(announced):
            self._stopped.wait(EMPTY_READ_PAUSE_SECONDS)

    def _poll_soon(self) -> None:
        self._next_poll = clock.monotonic()
        self._wake.set()

    def _take_announced(self) -> set[str]:
        with self._registry:
            self._wake.clear()
            announced, self._announced = self._announced, set()
        return announced

    def _read_log(self, symbols: Iterable[str]) -> bool:
        """Deliver undelivered signals of these symbols; returns whether there were any."""
        known = {symbol: self.heads.get(symbol, 0) for symbol in symbols}  # first: meanwhile both only grow
        found = replay.newest_beyond(known)
        self._publish_all((symbol, head, payload) for symbol, (head, payload) in found.items() if payload is not None)
        self._rewind({symbol: head for symbol, (head, _) in found.items() if head < known[symbol]})
        return any(head > known[symbol] for symbol, (head, _) in found.items())

    def _rewind(self, heads: dict[str, int]) -> None:
        """Follow a log restored to an earlier state; its subscribers are closed and connect again."""
        for symbol, head in heads.items():
            logger.warning("the log of %s was restored to seq %s", symbol, head)
            with self._order, self._registry:
                self.heads[symbol] = head
                ahead = list(self._subscribers.get(symbol, ()))
            for connection in ahead:
                connection.loop.call_soon_threadsafe(connection.close, protocol.TRY_LATER)

    def _poll(self) -> None:
        """Read the log for every subscribed symbol, and close connections of revoked keys."""
        with self._registry:
            symbols, key_ids = list(self._subscribers), {one.key_id for one in self._connections if one.key_id}
        if symbols:
            self._read_log(symbols)
        revoked = self.revoked_keys(key_ids) if self.revoked_keys is not None and key_ids else set()
        with self._registry:
            closing = [one for one in self._connections if one.key_id in revoked]
        for connection in closing:
            connection.loop.call_soon_threadsafe(
                connection.close,
                protocol.NOT_AUTHENTICATED,
                protocol.error("InvalidAPIKey", "the key was revoked or has expired"),
            )


def _offer(parts: list[tuple[list[Connection], protocol.Outgoing]]) -> None:
    for part, message in parts:
        for connection in part:
            connection.offer(message)


hub = Hub()
"""The hub of this process."""
