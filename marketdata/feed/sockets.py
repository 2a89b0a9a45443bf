"""Websocket connections in a thread of their own, reopened after every failure. Uses no database."""

import asyncio
import random
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from marketdata import clock
from marketdata.errors import ExchangeUnavailable, MalformedCandle
from marketdata.exchange import hosts
from marketdata.exchange.backoff import Backoff
from marketdata.exchange.client import ExchangeClient, is_loopback
from marketdata.exchange.parsing import LATEST_MS, parse_stream_frame
from marketdata.feed.inbox import Inbox
from marketdata.randomness import default_rng

SYMBOLS_PER_SOCKET = 200
"""Symbols per socket: the exchange accepts 1024, its URL fewer."""
EARLY_MS = 60_000
CANCEL_AGAIN_SECONDS = 12.0
"""Longer than closing a socket takes if the other side does not respond."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FeedTimings:
    """Timeouts and periods of the feed, in seconds of wall time."""

    silence: float = 30.0
    """Time without any message after which a socket is reopened."""
    lifetime: float = 23 * 3600.0
    """Age at which a socket is replaced."""
    handover: float = 20.0
    """Maximum time until a new socket must be connected."""
    longest_wait: float = 30.0
    """Maximum delay between attempts to connect."""
    clock_period: float = 60.0
    """Period of clock readings."""
    fast_clock_period: float = 2.0
    """The same for an exchange whose clock does not run at normal speed."""
    description_period: float = 3600.0
    """Period of requests for limits and trading statuses."""
    doubt_period: float = 60.0
    """The same while a close is overdue or a market is halted."""


class Connection:
    """One socket of a group of symbols: its task and state."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.accepted = asyncio.Event()
        self.retiring = asyncio.Event()
        self.task = asyncio.create_task(work)
        self.began = clock.monotonic()


class Sockets:
    """All connections of the feed, in one event loop in one thread."""

    def __init__(self, inbox: Inbox, pace: FeedTimings, rng: random.Random | None = None) -> None:
        self.inbox, self.pace = inbox, pace
        self.reading: clock.Reading | None = None
        self.connections = 0
        self._rng = rng or default_rng()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="feed-sockets", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the thread, without symbols."""
        self._thread.start()

    def follow(self, symbols: Sequence[str]) -> None:
        """Subscribe to exactly these symbols; candles missed meanwhile are fetched after connecting."""
        asyncio.run_coroutine_threadsafe(self._follow(list(symbols)), self._loop).result(timeout=30)

    def stop(self) -> None:
        """Close every socket and end the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _follow(self, symbols: list[str]) -> None:
        await self._cancel()
        groups = [symbols[start : start + SYMBOLS_PER_SOCKET] for start in range(0, len(symbols), SYMBOLS_PER_SOCKET)]
        self._tasks = [asyncio.create_task(self._maintain_group(group)) for group in groups]

    async def _cancel(self) -> None:
        await _cancel_all(*self._tasks)
        self._tasks = []

    async def _maintain_group(self, symbols: Sequence[str]) -> None:
        """Maintain one connection, and replace it before the exchange closes it."""
        backoff = Backoff(1.0, self.pace.longest_wait, self._rng)
        current: Connection | None = None
        try:
            while True:
                if current is None or current.task.done():
                    if current is not None:
                        await self._recover(current, backoff)
                    current = self._open(symbols)
                await self._until(current, self.pace.lifetime * (1 - 0.04 * self._rng.random()))
                if not current.task.done():
                    current = await self._replace(current, symbols)
        finally:
            if current is not None:
                await _cancel_all(current.task)

    async def _recover(self, lost: Connection, backoff: Backoff) -> None:
        failure = lost.task.exception()
        if clock.monotonic() - lost.began > self.pace.longest_wait:
            backoff.reset()
        wait = backoff.next_seconds()
        log.warning("stream_lost", reason=str(failure)[:200], next_try_seconds=round(wait, 2))
        await asyncio.sleep(wait)

    async def _replace(self, old: Connection, symbols: Sequence[str]) -> Connection:
        """Open a new connection, and close the old one once the new one is accepted."""
        successor = self._open(symbols)
        accepted = asyncio.create_task(successor.accepted.wait())
        ends = {accepted, successor.task}
        try:
            await asyncio.wait(ends, timeout=self.pace.handover, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancel_all(successor.task)
            raise
        finally:
            accepted.cancel()
        if successor.accepted.is_set():
            await _cancel_all(old.task)
            return successor
        await _cancel_all(successor.task)
        old.retiring.clear()
        return old

    async def _until(self, current: Connection, seconds: float) -> None:
        """Wait until a connection ends, its shutdown is announced, or `seconds` have passed."""
        retiring = asyncio.create_task(current.retiring.wait())
        try:
            await asyncio.wait({retiring, current.task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            retiring.cancel()

    def _open(self, symbols: Sequence[str]) -> Connection:
        holder: list[Connection] = []
        connection = Connection(self._listen(symbols, holder))
        holder.append(connection)
        return connection

    async def _listen(self, symbols: Sequence[str], holder: list[Connection]) -> None:
        """Read one socket until it ends or no message arrives in time."""
        known = frozenset(symbols)
        await asyncio.sleep(0)
        async with ExchangeClient() as client:
            messages = client.stream(symbols)
            while True:
                try:
                    async with asyncio.timeout(self.pace.silence):
                        message = await anext(messages)
                except StopAsyncIteration:
                    raise ExchangeUnavailable("the socket was closed") from None
                except TimeoutError:
                    hosts.cool_down(client.stream_host)
                    raise ExchangeUnavailable(f"no message for {self.pace.silence} s") from None
                if not holder[0].accepted.is_set():
                    holder[0].accepted.set()
                    self.connections += 1
                    self.inbox.connect()
                self.inbox.record_message()
                if _announces_shutdown(message):
                    holder[0].retiring.set()
                elif message is not None:
                    self._dispatch(message, known)

    def _dispatch(self, message: object, symbols: frozenset[str]) -> None:
        """Put a message into the inbox; an invalid one must never end the socket."""
        latest = LATEST_MS
        if self.reading is not None and not is_loopback(self.reading.base_url):  # a simulated clock may jump
            latest = self.reading.at(clock.wall_ms()) + EARLY_MS
        try:
            closed = parse_stream_frame(message, symbols, latest_close_ms=latest)
        except MalformedCandle as error:
            self.inbox.put_refused(message, str(error))
        else:
            if closed is not None:
                self.inbox.put_closed(*closed)


def _announces_shutdown(message: object) -> bool:
    body = message.get("data", message) if isinstance(message, dict) else None
    return isinstance(body, dict) and body.get("e") == "serverShutdown"


async def _cancel_all(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until all have ended.

    A library may lose a cancellation that arrives together with the result it waits for.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
