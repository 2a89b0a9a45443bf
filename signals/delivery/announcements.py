"""Announcements between processes of symbols with new signals, through the Channels layer.

An announcement contains symbols, not signals: the receiver reads the log. A lost one costs time, a
repeated or forged one a query; neither changes what is delivered.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

GROUP = "signals"
RETRY_SECONDS = 2.0
STOP_SECONDS = 5.0


class Announcer:
    """Sender of announcements from synchronous code; for one thread at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def announce(self, symbols: Iterable[str]) -> None:
        """Announce symbols to every process that serves websockets.

        Raises
        ------
        redis.RedisError or OSError
            If Redis fails.
        """
        if self._loop is None:
            # Kept open, because the layer has one connection per event loop.
            self._loop = asyncio.new_event_loop()
        message = {"type": "signals.announced", "symbols": sorted(set(symbols))}
        self._loop.run_until_complete(get_channel_layer().group_send(GROUP, message))


class Listener:
    """Receiver of announcements in a thread of its own, until it is stopped.

    Parameters
    ----------
    on_announced : callable
        Called with the symbols of each announcement.
    on_subscribed : callable
        Called after subscribing: earlier announcements were not received, their signals are in the log.
    """

    def __init__(self, on_announced: Callable[[list[str]], None], on_subscribed: Callable[[], None]) -> None:
        self._on_announced, self._on_subscribed = on_announced, on_subscribed
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._receive_forever())
        self._thread = threading.Thread(target=self._run, name="signal-announcements", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Unsubscribe and end the thread."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(self._loop):
            self._loop.run_until_complete(self._task)

    async def _receive_forever(self) -> None:
        while True:
            try:
                await self._receive()
            except Exception as error:  # noqa: BLE001  # any failure of Redis or the network
                logger.warning("receiving announcements failed: %s: %s", type(error).__name__, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _receive(self) -> None:
        """Subscribe once; after a lost connection the layer subscribes again."""
        layer: Any = get_channel_layer()
        try:
            channel = await layer.new_channel()
            await layer.group_add(GROUP, channel)
            self._on_subscribed()
            while True:
                try:
                    message = await layer.receive(channel)
                except ValueError:  # published under this name by something else
                    continue
                self._on_announced(symbols_in(message))
        finally:
            await layer.flush()


def symbols_in(message: Any) -> list[str]:
    """Symbols of an announcement; an empty list for an invalid one.

    >>> symbols_in({"type": "signals.announced", "symbols": ["BTCUSDT", 7]})
    ['BTCUSDT']
    >>> symbols_in(["BTCUSDT"])
    []
    """
    symbols = message.get("symbols") if isinstance(message, dict) else None
    return [symbol for symbol in symbols if isinstance(symbol, str)] if isinstance(symbols, list) else []
