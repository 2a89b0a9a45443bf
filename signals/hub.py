"""The process-wide hub: every signal is encoded once and handed to all of this process's subscribers.

In production one Redis subscription feeds it; embedded, the publisher does. A thread of its own
listens, compares what was handed out with the log every few seconds, and fills holes from it.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, connections

from signals import protocol, replay
from signals.connections import Connection

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often heads are compared and ended keys looked for."""
LONGEST_WAIT = 5.0


class Hub:
    """Subscribers by symbol, and the last seq handed out of each."""

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.ended_keys: Callable[[set[str]], set[str]] | None = None
        self._subscribers: dict[str, set[Connection]] = {}
        self._connections: set[Connection] = set()
        self._registry, self._order = threading.Lock(), threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def join(self, connection: Connection) -> None:
        """Take in a connection, and watch from now on."""
        with self._registry:
            self._connections.add(connection)
            if self._thread is None or not self._thread.is_alive():
                self._stopped.clear()
                self._thread = threading.Thread(target=self._watch, name="signal-hub", daemon=True)
                self._thread.start()

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        with self._registry:
            self._connections.discard(connection)
            for symbol in list(self._subscribers):
                self._remove(connection, symbol)

    def subscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Hand these symbols to a connection from now on."""
        with self._registry:
            for symbol in symbols:
                self._subscribers.setdefault(symbol, set()).add(connection)

    def unsubscribe(self, connection: Connection, symbols: Iterable[str]) -> None:
        """Stop handing these symbols to a connection."""
        with self._registry:
            for symbol in symbols:
                self._remove(connection, symbol)

    def count_of(self, key_id: str) -> int:
        """Connections of one key in this process."""
        with self._registry:
            return sum(connection.key_id == key_id for connection in self._connections)

    def note_heads(self, heads: dict[str, int]) -> None:
        """Learn heads somebody read from the log, where this process knows none yet."""
        with self._order:
            for symbol, head in heads.items():
                self.heads.setdefault(symbol, head)

    def publish(self, symbol: str, seq: int, payload: str) -> None:
        """Hand out one signal from any thread; a repeat is dropped, a hole before it is filled from the log."""
        with self._order:
            last = self.heads.get(symbol)
            if last is not None and seq <= last:
                return
            if last is not None and seq > last + 1:
                self._fill(symbol, last, seq - 1)
            self._hand_out(symbol, seq, payload)

    def stop(self) -> None:
        """End the watching thread and forget everything."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=LONGEST_WAIT)
        with self._registry:
            self._connections.clear()
            self._subscribers.clear()
        self.heads.clear()

    def _remove(self, connection: Connection, symbol: str) -> None:
        followers = self._subscribers.get(symbol)
        if followers is not None:
            followers.discard(connection)
            if not followers:
                del self._subscribers[symbol]
                # Nobody listens: what is published meanwhile is no hole for the next one who does.
                self.heads.pop(symbol, None)

    def _fill(self, symbol: str, after: int, until: int) -> None:
        while entries := replay.entries_after(symbol, after, until):
            for seq, payload in entries:
                self._hand_out(symbol, seq, payload)
            after = entries[-1][0]

    def _hand_out(self, symbol: str, seq: int, payload: str) -> None:
        with self._registry:
            followers = list(self._subscribers.get(symbol, ()))
            if followers:
                self.heads[symbol] = seq
        text = protocol.signal(symbol, seq, payload)
        by_loop: dict[asyncio.AbstractEventLoop, list[Connection]] = {}
        for connection in followers:
            by_loop.setdefault(connection.loop, []).append(connection)
        for loop, part in by_loop.items():
            try:
                loop.call_soon_threadsafe(_offer, part, symbol, seq, text)
            except RuntimeError:  # its loop has ended without a goodbye
                for connection in part:
                    self.leave(connection)

    def _watch(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                if settings.EMBEDDED:
                    self._look()
                    self._stopped.wait(LOOK_SECONDS)
                else:
                    self._listen()
                failures = 0
            except Exception as error:  # noqa: BLE001  # the hub outlives every failure of Redis and database
                failures += 1
                logger.warning("the hub lost its feed: %s: %s", type(error).__name__, error)
                self._stopped.wait(min(LONGEST_WAIT, 0.1 * 2**failures))
            finally:
                connections.close_all()

    def _listen(self) -> None:
        """Follow the Redis channels until the connection breaks or the hub stops."""
        client: Any = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=15)
        with client, client.pubsub(ignore_subscribe_messages=True) as listener:
            listener.psubscribe("signals:*")
            waited = LOOK_SECONDS
            while not self._stopped.is_set():
                if waited >= LOOK_SECONDS:
                    self._look()
                    waited = 0.0
                message = listener.get_message(timeout=1.0)
                if message is None:
                    waited += 1.0
                else:
                    payload = message["data"].decode()
                    said = orjson.loads(payload)
                    self.publish(said["symbol"], said["seq"], payload)

    def _look(self) -> None:
        """Fill what the feed lost, and close connections whose key has ended."""
        with self._registry:
            symbols, key_ids = list(self._subscribers), {one.key_id for one in self._connections if one.key_id}
        try:
            for symbol, head in replay.heads_of(symbols).items() if symbols else ():
                with self._order:
                    last = self.heads.setdefault(symbol, head)
                    if head > last:
                        self._fill(symbol, last, head)
            ended = self.ended_keys(key_ids) if self.ended_keys is not None and key_ids else set()
        except DatabaseError as error:
            logger.warning("the hub cannot read the log: %s", error)
            return
        with self._registry:
            closing = [one for one in self._connections if one.key_id in ended]
        for connection in closing:
            connection.loop.call_soon_threadsafe(
                connection.close, protocol.NOT_AUTHENTICATED, protocol.error("InvalidAPIKey", "the key has ended")
            )


def _offer(part: list[Connection], symbol: str, seq: int, text: str) -> None:
    for connection in part:
        connection.offer(symbol, seq, text)


hub = Hub()
"""The hub of this process."""
