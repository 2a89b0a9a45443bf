"""The simulator's main loop: sends stream messages when they are due and applies stream faults."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import structlog

from marketdata import clock
from marketdata.intervals import INTERVAL, INTERVAL_MS
from marketdata.simulator.http.streams import StreamHub
from marketdata.simulator.venue import Message, Venue

FRAME_SECONDS = 2.0  # period of the messages about an open candle
FRAMES_PER_CANDLE = 4  # if market time is so fast that two seconds are several candles
MIN_FRAME_SECONDS = 0.05
SLICE = 200  # messages sent before other tasks of the event loop run

log = structlog.get_logger(__name__)


class Playback:
    """Sends the messages of a venue to a hub in real time."""

    def __init__(self, venue: Venue, hub: StreamHub, listen: Callable[[bool], Awaitable[None]]) -> None:
        self.venue = venue
        self.hub = hub
        self.has_ended = False
        self._listen = listen
        self._is_listening = True
        self._next_frame = clock.monotonic()
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self.hub.changed.clear()  # first, so that a change during a step triggers another one
            await self.step()
            seconds = self._seconds_until_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.hub.changed.wait(), None if math.isinf(seconds) else seconds)

    async def step(self) -> None:
        """Do everything that is due now."""
        async with self._lock:
            now_ms = self.venue.clock.now_ms()
            await self._apply_faults(now_ms)
            await self._send(self.venue.step(now_ms))
            if self.hub.has_listeners and clock.monotonic() >= self._next_frame:
                self._next_frame = clock.monotonic() + self._frame_seconds()
                await self._send(self.venue.forming(now_ms))
            if self.venue.has_ended() and not self.has_ended:
                self.has_ended = True
                log.warning("the replayed candles are at their end; no candle will close any more")

    async def _send(self, messages: list[Message]) -> None:
        for position, (symbol, event) in enumerate(messages, start=1):
            self.hub.send(f"{symbol.lower()}@kline_{INTERVAL}", event)
            if position % SLICE == 0:
                await asyncio.sleep(0)

    async def _apply_faults(self, now_ms: int) -> None:
        faults = self.venue.faults
        self.hub.is_silent = faults.trigger(("silence",), now_ms) is not None
        self.hub.is_refusing = faults.trigger(("refused_stream",), now_ms) is not None
        if faults.trigger(("cut",), now_ms):
            self.hub.cut()
        if shutdown := faults.trigger(("shutdown",), now_ms):
            self.hub.announce({"e": "serverShutdown", "E": now_ms})
            closing = asyncio.create_task(self._close_sockets(shutdown.seconds))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        is_listening = faults.trigger(("offline",), now_ms) is None
        if is_listening != self._is_listening:
            self._is_listening = is_listening
            await self._listen(is_listening)
            if not is_listening:
                self.hub.cut()

    async def _close_sockets(self, seconds: float) -> None:
        connections = list(self.hub.connections)
        await asyncio.sleep(seconds)
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                await connection.socket.close(code=1001)

    def _frame_seconds(self) -> float:
        rate = self.venue.clock.rate
        if not rate:
            return FRAME_SECONDS
        return max(MIN_FRAME_SECONDS, min(FRAME_SECONDS, INTERVAL_MS / 1000 / rate / FRAMES_PER_CANDLE))

    def _seconds_until_due(self) -> float:
        due_ms = self.venue.next_due(self.venue.clock.now_ms())
        seconds = math.inf if due_ms is None else self.venue.clock.wall_seconds_until(due_ms)
        if self.hub.has_listeners:
            seconds = min(seconds, max(0.0, self._next_frame - clock.monotonic()))
        return seconds
