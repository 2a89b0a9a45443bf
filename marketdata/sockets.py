"""The sockets' thread: every group of symbols has a connection that is rebuilt for ever. No database here."""

import asyncio
import random
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from marketdata import clock, hosts
from marketdata.backoff import Backoff
from marketdata.chance import dice
from marketdata.errors import ExchangeUnavailable, MalformedCandle
from marketdata.exchange import ExchangeClient, is_loopback
from marketdata.inbox import Inbox
from marketdata.parsing import LATEST_MS, parse_stream_frame

GROUP = 200
"""Symbols to a socket: the exchange takes 1024, its URL fewer."""
EARLY_MS = 60_000
CANCEL_AGAIN_SECONDS = 12.0
"""Longer than a socket takes to close when nobody answers."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds of wall time."""

    silence: float = 30.0
    lifetime: float = 23 * 3600.0
    handover: float = 20.0
    longest_wait: float = 30.0
    clock_period: float = 60.0
    fast_clock_period: float = 2.0
    description_period: float = 3600.0
    doubt_period: float = 60.0


class Connection:
    """One socket of a group: its task, and whether the exchange accepted it."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.accepted = asyncio.Event()
        self.retiring = asyncio.Event()
        self.task = asyncio.create_task(work)
        self.began = clock.monotonic()


class Sockets:
    """All connections of the feed, in one event loop in one thread."""

    def __init__(self, inbox: Inbox, pace: Pace, chance: random.Random | None = None) -> None:
        self.inbox, self.pace = inbox, pace
        self.reading: clock.Reading | None = None
        self.connections = 0
        self._chance = chance or dice()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="feed-sockets", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with no symbol."""
        self._thread.start()

    def follow(self, symbols: Sequence[str]) -> None:
        """Follow exactly these symbols from now on; the repair after connecting covers the change."""
        asyncio.run_coroutine_threadsafe(self._follow(list(symbols)), self._loop).result(timeout=30)

    def stop(self) -> None:
        """Close every socket and end the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _follow(self, symbols: list[str]) -> None:
        await self._cancel()
        groups = [symbols[start : start + GROUP] for start in range(0, len(symbols), GROUP)]
        self._tasks = [asyncio.create_task(self._keep_group(group)) for group in groups]

    async def _cancel(self) -> None:
        await _end(*self._tasks)
        self._tasks = []

    async def _keep_group(self, symbols: Sequence[str]) -> None:
        """Keep one connection for ever, and replace it before the exchange cuts it."""
        backoff = Backoff(1.0, self.pace.longest_wait, self._chance)
        current: Connection | None = None
        try:
            while True:
                if current is None or current.task.done():
                    if current is not None:
                        await self._recover(current, backoff)
                    current = self._open(symbols)
                await self._until(current, self.pace.lifetime * (1 - 0.04 * self._chance.random()))
                if not current.task.done():
                    current = await self._replace(current, symbols)
        finally:
            if current is not None:
                await _end(current.task)

    async def _recover(self, lost: Connection, backoff: Backoff) -> None:
        failure = lost.task.exception()
        if clock.monotonic() - lost.began > self.pace.longest_wait:
            backoff.reset()
        wait = backoff.next_seconds()
        log.warning("stream_lost", reason=str(failure)[:200], next_try_seconds=round(wait, 2))
        await asyncio.sleep(wait)

    async def _replace(self, old: Connection, symbols: Sequence[str]) -> Connection:
        """Open the successor first; the old one goes only when it is accepted."""
        successor = self._open(symbols)
        accepted = asyncio.create_task(successor.accepted.wait())
        ends = {accepted, successor.task}
        try:
            await asyncio.wait(ends, timeout=self.pace.handover, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _end(successor.task)
            raise
        finally:
            accepted.cancel()
        if successor.accepted.is_set():
            await _end(old.task)
            return successor
        await _end(successor.task)
        old.retiring.clear()
        return old

    async def _until(self, current: Connection, seconds: float) -> None:
        """Wait for the end of a connection, its announced end, or its planned one."""
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
        """Read one socket until it ends; silence counts as an end."""
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
                    hosts.let_rest(client.stream_host)
                    raise ExchangeUnavailable(f"nothing was heard for {self.pace.silence} s") from None
                if not holder[0].accepted.is_set():
                    holder[0].accepted.set()
                    self.connections += 1
                    self.inbox.connect()
                self.inbox.hear()
                if _is_farewell(message):
                    holder[0].retiring.set()
                elif message is not None:
                    self._sort(message, known)

    def _sort(self, message: object, symbols: frozenset[str]) -> None:
        """Put a message where it belongs; a hostile one must never end the socket."""
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


def _is_farewell(message: object) -> bool:
    body = message.get("data", message) if isinstance(message, dict) else None
    return isinstance(body, dict) and body.get("e") == "serverShutdown"


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel until all have ended: a library below may swallow a cancellation that comes beside what it waits for."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
