"""Queue of frames of one websocket: order, gaps and back-pressure.

Runs in the event loop of its connection; no database access.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from signals.delivery import protocol

MAX_QUEUED = 512
"""Frames queued for one connection; a live signal beyond that closes it."""
REPLAY_QUEUE_LIMIT = 64
"""A replay waits until fewer frames than this are queued."""
CLOSE_SECONDS = 10.0
"""How long a connection closed as too slow may take to read the last frame."""

Item = tuple[str, int, str]
"""Symbol ('' for anything but a signal), seq, frame text."""


class Connection:
    """Bounded queue of frames with one writer, and the last seq of every subscribed symbol."""

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
        """Subscribed symbols, including those still being replayed."""
        return set(self.positions) | set(self._buffered)

    def put(self, text: str) -> None:
        """Queue a frame that is not a signal."""
        self._enqueue(("", 0, text))

    def hold(self, symbols: Iterable[str]) -> None:
        """Buffer live signals of these symbols until `release`."""
        for symbol in symbols:
            self._buffered.setdefault(symbol, [])

    def put_replayed(self, symbol: str, seq: int, text: str) -> None:
        """Queue a signal read from the log, unless it was queued before."""
        if seq > self.positions.get(symbol, -1):
            self.positions[symbol] = seq
            self._enqueue((symbol, seq, text))

    def release(self, symbol: str) -> int | None:
        """Queue the buffered signals; returns the first missing seq if there is a gap."""
        buffered = self._buffered.get(symbol, [])
        while buffered:
            seq, text = buffered[0]
            position = self.positions.get(symbol, 0)
            if seq > position + 1:
                return position + 1
            buffered.pop(0)
            self.put_replayed(symbol, seq, text)
        self._buffered.pop(symbol, None)
        self.positions.setdefault(symbol, 0)
        return None

    def drop(self, symbols: Iterable[str]) -> None:
        """Drop the subscriptions of these symbols."""
        for symbol in symbols:
            self.positions.pop(symbol, None)
            self._buffered.pop(symbol, None)

    def offer(self, symbol: str, seq: int, text: str) -> None:
        """Queue a live signal if it is the next one; drop repeats, report gaps."""
        if symbol in self._buffered:
            self._buffered[symbol].append((seq, text))
            del self._buffered[symbol][:-MAX_QUEUED]
            return
        position = self.positions.get(symbol)
        if position is None or seq <= position:
            return
        if seq > position + 1:
            self._buffered[symbol] = [(seq, text)]
            self.on_gap(symbol)
            return
        if len(self._queue) >= MAX_QUEUED:
            self.close_too_slow()
            return
        self.positions[symbol] = seq
        self._enqueue((symbol, seq, text))

    def close_too_slow(self) -> None:
        """Close a connection that reads too slowly, with the last sent seq of every symbol."""
        if self._closing is not None:
            return
        reached = {symbol: self.sent.get(symbol, 0) for symbol in sorted(self.symbols)}
        frame = protocol.error("TooSlow", "this connection does not read fast enough", seq=reached)
        self.close(protocol.TOO_SLOW, frame)
        self.loop.call_later(CLOSE_SECONDS, self._writer.cancel)

    def close(self, code: int, last_frame: str = "") -> None:
        """Drop queued frames, send `last_frame` and close."""
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
        """Stop the writer after the client has disconnected."""
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
