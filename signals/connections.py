"""One subscriber's side of the hub: what is queued for it, in which order, and when it is too slow.

Lives in its connection's event loop; nothing here touches a database.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from signals import protocol

MAX_QUEUED = 512
"""Frames waiting for one connection; a live signal beyond that closes it."""
REPLAY_QUEUE_LIMIT = 64
"""A replay waits until fewer frames than this are waiting."""
CLOSE_SECONDS = 10.0
"""How long a connection closed as too slow may take to read why."""

Item = tuple[str, int, str]
"""Symbol ('' for anything but a signal), seq, frame."""


class Connection:
    """A bounded queue of frames with one writer, and the place reached in every subscribed symbol."""

    def __init__(
        self, send_text: Callable[[str], Awaitable[None]], close: Callable[[int], Awaitable[None]], key_id: str = ""
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.key_id = key_id
        self.positions: dict[str, int] = {}
        self.on_gap: Callable[[str], None] = lambda _symbol: None
        self.sent: dict[str, int] = {}
        self._buffered: dict[str, list[tuple[int, str]]] = {}
        self._send_text, self._close = send_text, close
        self._queue: deque[Item] = deque()
        self._wake, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._closing: int | None = None
        self._writer = self.loop.create_task(self._write())

    @property
    def symbols(self) -> set[str]:
        """Symbols subscribed to, those still being replayed included."""
        return set(self.positions) | set(self._buffered)

    def put(self, text: str) -> None:
        """Queue a frame that is no signal."""
        self._enqueue(("", 0, text))

    def hold(self, symbols: Iterable[str]) -> None:
        """Keep live signals of these symbols back until `release`."""
        for symbol in symbols:
            self._buffered.setdefault(symbol, [])

    def put_replayed(self, symbol: str, seq: int, text: str) -> None:
        """Queue a signal read from the log, if it is the next one."""
        if seq > self.positions.get(symbol, -1):
            self.positions[symbol] = seq
            self._enqueue((symbol, seq, text))

    def release(self, symbol: str) -> int | None:
        """Let the signals held back follow; returns the first seq that is missing before one of them."""
        held = self._buffered.get(symbol, [])
        while held:
            seq, text = held[0]
            place = self.positions.get(symbol, 0)
            if seq > place + 1:
                return place + 1
            held.pop(0)
            self.put_replayed(symbol, seq, text)
        self._buffered.pop(symbol, None)
        self.positions.setdefault(symbol, 0)
        return None

    def drop(self, symbols: Iterable[str]) -> None:
        """Stop following these symbols."""
        for symbol in symbols:
            self.positions.pop(symbol, None)
            self._buffered.pop(symbol, None)

    def offer(self, symbol: str, seq: int, text: str) -> None:
        """Take a live signal: next in order it is queued, a repeat is dropped, a hole asks for what is missing."""
        if symbol in self._buffered:
            self._buffered[symbol].append((seq, text))
            del self._buffered[symbol][:-MAX_QUEUED]
            return
        place = self.positions.get(symbol)
        if place is None or seq <= place:
            return
        if seq > place + 1:
            self._buffered[symbol] = [(seq, text)]
            self.on_gap(symbol)
            return
        if len(self._queue) >= MAX_QUEUED:
            self.close_too_slow()
            return
        self.positions[symbol] = seq
        self._enqueue((symbol, seq, text))

    def close_too_slow(self) -> None:
        """Close a connection that does not read, telling it the last seq it was sent of every symbol."""
        if self._closing is not None:
            return
        reached = {symbol: self.sent.get(symbol, 0) for symbol in sorted(self.symbols)}
        said = protocol.error("TooSlow", "this connection does not read fast enough", seq=reached)
        self.close(protocol.TOO_SLOW, said)
        self.loop.call_later(CLOSE_SECONDS, self._writer.cancel)

    def close(self, code: int, last_frame: str = "") -> None:
        """Drop what is queued, say `last_frame` and close."""
        if self._closing is not None:
            return
        self._queue.clear()
        if last_frame:
            self._queue.append(("", 0, last_frame))
        self._closing = code
        self._wake.set()

    async def wait_for_room(self) -> None:
        """Wait until a replay may queue more."""
        await self._has_room.wait()

    def stop(self) -> None:
        """End the writer: the other side is gone."""
        self._writer.cancel()

    async def finished(self) -> None:
        """Wait until the writer has ended."""
        await asyncio.gather(self._writer, return_exceptions=True)

    def _enqueue(self, item: Item) -> None:
        if self._closing is not None:
            return
        self._queue.append(item)
        if len(self._queue) >= REPLAY_QUEUE_LIMIT:
            self._has_room.clear()
        self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    symbol, seq, text = self._queue.popleft()
                    if len(self._queue) < REPLAY_QUEUE_LIMIT:
                        self._has_room.set()
                    await self._send_text(text)
                    if symbol:
                        self.sent[symbol] = seq
                if self._closing is not None:
                    return
                self._wake.clear()
                await self._wake.wait()
        except asyncio.CancelledError:
            if self._closing is None:
                raise
        finally:
            self._has_room.set()
            if self._closing is not None:
                await self._close(self._closing)
