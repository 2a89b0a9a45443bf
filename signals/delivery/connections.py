"""Outgoing frames of one websocket: order, gaps and back-pressure.

Runs in the event loop of its connection; no database access.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from signals.delivery import protocol
from signals.delivery.protocol import Outgoing

MAX_QUEUED = 1024
"""Frames queued for one connection; a live signal beyond that closes it."""
REPLAY_QUEUE_LIMIT = 64
"""A replay waits until fewer frames than this are queued; with one page of it the queue is still not full."""
CLOSE_SECONDS = 10.0
"""How long a closed connection may take to read the last frame."""


def always_queue(_ready: bytes) -> bool:
    """Write nothing, for servers that cannot write ready frames; every frame is queued."""
    return False


class Connection:
    """Position in every subscribed symbol, and a bounded queue that is used while the client reads slowly.

    Parameters
    ----------
    send_text, close : callable
        Send a text and close with a code, after the client has read enough.
    key_id : str
        API key of the client; empty for a session.
    write_ready : callable
        Writes the bytes of a frame if nothing waits for the client; returns whether it did.
    """

    def __init__(
        self,
        send_text: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        key_id: str = "",
        write_ready: Callable[[bytes], bool] = always_queue,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.key_id = key_id
        self.positions: dict[str, int] = {}
        self.on_gap: Callable[[str], None] = lambda _symbol: None
        self._buffered: dict[str, list[Outgoing]] = {}
        self._send_text, self._close, self._write_ready = send_text, close, write_ready
        self._queue: deque[Outgoing] = deque()
        self._in_flight: Outgoing | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._open = True
        self._close_code: int | None = None
        self._writer: asyncio.Task[None] | None = None

    @property
    def symbols(self) -> set[str]:
        """Subscribed symbols, including those still being replayed."""
        return set(self.positions) | set(self._buffered)

    def put(self, text: str) -> None:
        """Send a frame that is not a signal."""
        self._send(Outgoing.of(text))

    def hold(self, symbols: Iterable[str]) -> None:
        """Buffer live signals of these symbols until `release`."""
        for symbol in symbols:
            self._buffered.setdefault(symbol, [])

    def put_replayed(self, message: Outgoing) -> None:
        """Send a signal read from the log, unless it was sent before."""
        if message.seq > self.positions.get(message.symbol, -1):
            self.positions[message.symbol] = message.seq
            self._send(message)

    def release(self, symbol: str) -> int | None:
        """Send the buffered signals; returns the first missing seq if there is a gap."""
        buffered = self._buffered.get(symbol, [])
        while buffered:
            position = self.positions.get(symbol, 0)
            if buffered[0].seq > position + 1:
                return position + 1
            self.put_replayed(buffered.pop(0))
        self._buffered.pop(symbol, None)
        self.positions.setdefault(symbol, 0)
        return None

    def drop(self, symbols: Iterable[str]) -> None:
        """Drop the subscriptions of these symbols."""
        for symbol in symbols:
            self.positions.pop(symbol, None)
            self._buffered.pop(symbol, None)

    def offer(self, message: Outgoing) -> None:
        """Send a live signal if it is the next one; drop repeats, report gaps."""
        symbol, seq = message.symbol, message.seq
        if symbol in self._buffered:
            self._buffered[symbol].append(message)
            del self._buffered[symbol][:-MAX_QUEUED]
            return
        position = self.positions.get(symbol)
        if position is None or seq <= position:
            return
        if seq > position + 1:
            self._buffered[symbol] = [message]
            self.on_gap(symbol)
            return
        if len(self._queue) >= MAX_QUEUED:
            self.close_too_slow()
            return
        self.positions[symbol] = seq
        self._send(message)

    def close_too_slow(self) -> None:
        """Close a connection that reads too slowly, with the last sent seq of every symbol."""
        sent = {symbol: self.positions.get(symbol, 0) for symbol in sorted(self.symbols)}
        unsent = [self._in_flight, *self._queue] if self._in_flight is not None else list(self._queue)
        for message in reversed(unsent):
            if message.symbol in sent:
                sent[message.symbol] = message.seq - 1
        frame = protocol.error("TooSlow", "this connection does not read fast enough", seq=sent)
        self.close(protocol.TOO_SLOW, frame)

    def close(self, code: int, last_frame: str = "") -> None:
        """Drop queued frames, send `last_frame` and close."""
        if not self._open:
            return
        self._open, self._close_code = False, code
        self._queue.clear()
        if last_frame:
            self._queue.append(Outgoing.of(last_frame))
        self.loop.call_later(CLOSE_SECONDS, self._start_writer().cancel)

    async def wait_for_room(self) -> None:
        """Wait until a replay may queue more."""
        await self._has_room.wait()

    def end(self) -> None:
        """Send nothing more: the websocket is closed or being closed."""
        self._open = False
        self._queue.clear()

    def stop(self) -> None:
        """Stop the writer after the client has disconnected."""
        self.end()
        if self._writer is not None:
            self._writer.cancel()

    async def finished(self) -> None:
        """Wait until no frame is queued."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    def _send(self, message: Outgoing) -> None:
        if not self._open or (self._writer is None and self._write_ready(message.ready)):
            return
        self._queue.append(message)
        if len(self._queue) >= REPLAY_QUEUE_LIMIT:
            self._has_room.clear()
        self._start_writer()

    def _start_writer(self) -> asyncio.Task[None]:
        if self._writer is None:
            self._writer = self.loop.create_task(self._write())
        return self._writer

    async def _write(self) -> None:
        """Send what is queued, then close if that was requested."""
        try:
            while self._queue:
                self._in_flight = self._queue.popleft()
                if len(self._queue) < REPLAY_QUEUE_LIMIT:
                    self._has_room.set()
                await self._send_text(self._in_flight.text)
        except OSError:  # the client has disconnected, which the server reports to the consumer
            self.end()
        except asyncio.CancelledError:
            if self._close_code is None:
                raise
        finally:
            self._in_flight = self._writer = None
            self._has_room.set()
            if self._close_code is not None:
                with suppress(OSError):
                    await self._close(self._close_code)
