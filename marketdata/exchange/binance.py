"""Configured python-binance classes: the only module that imports the library, on first use."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from functools import cache
from types import SimpleNamespace
from typing import Any

from marketdata.errors import ExchangeUnavailable

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_KEPT_BYTES = 4096
READ_SECONDS = 1
"""How often a socket without messages checks its own state."""
POLL_SECONDS = 0.5


@cache
def library(api_url: str, stream_url: str, *, direct: bool) -> SimpleNamespace:  # noqa: C901  (three small classes)
    """Import python-binance and set its hosts, which can only be set on classes.

    A `direct` connection uses no proxy from the environment.
    """
    import aiohttp
    import orjson
    from binance import AsyncClient, BinanceSocketManager
    from binance.exceptions import BinanceAPIException, BinanceRequestException
    from binance.ws.constants import WSListenerState
    from binance.ws.reconnecting_websocket import ReconnectingWebsocket
    from websockets.exceptions import WebSocketException

    logging.getLogger(ReconnectingWebsocket.__module__).setLevel(logging.CRITICAL)  # the supervisor logs it once

    class Unreadable(BinanceRequestException):  # type: ignore[misc]
        """A body that is not JSON, with its first bytes."""

        def __init__(self, message: str, body: bytes) -> None:
            super().__init__(message)
            self.raw = body[:MAX_KEPT_BYTES]

    class Rest(AsyncClient):  # type: ignore[misc]
        API_URL = f"{api_url}/api"

        async def _handle_response(self, response: Any) -> Any:
            """Read at most `MAX_BODY_BYTES` bytes and parse them as JSON, whatever the content type."""
            body = await response.content.read(MAX_BODY_BYTES + 1)
            while len(body) <= MAX_BODY_BYTES and (more := await response.content.read(MAX_BODY_BYTES + 1 - len(body))):
                body += more
            if len(body) > MAX_BODY_BYTES:
                raise Unreadable(f"more than {MAX_BODY_BYTES} bytes", body)
            if not 200 <= response.status < 300:
                detail = body if _is_object(body) else b'{"code": 0, "msg": "not an answer of the exchange"}'
                raise BinanceAPIException(response, response.status, detail.decode(errors="replace"))
            try:
                return orjson.loads(body)
            except ValueError as error:
                raise Unreadable(repr(body[:80]), body) from error

    class Socket(ReconnectingWebsocket):  # type: ignore[misc]
        """A socket that never reconnects by itself and drops messages of open candles.

        The supervisor opens a new one instead.
        """

        MAX_RECONNECTS = 0
        TIMEOUT = READ_SECONDS
        received = False

        def _handle_message(self, raw: Any) -> Any:
            self.received = True
            try:
                message = orjson.loads(raw)
            except (ValueError, TypeError):
                return {"unreadable": raw[:4096]}
            body = message.get("data", message) if isinstance(message, dict) else message
            # The library marks its own errors so; here the mark came from outside.
            if isinstance(message, dict) and message.get("e") == "error":
                return {"unreadable": message}
            kline = body.get("k") if isinstance(body, dict) else None
            return None if isinstance(kline, dict) and kline.get("x") is False else message or {"unreadable": raw}

        async def messages(self) -> AsyncIterator[Any]:
            while self._handle_read_loop or not self._queue.empty():
                try:
                    # Not wait_for: in Python 3.11 it loses a cancellation that comes together with a message.
                    async with asyncio.timeout(POLL_SECONDS):
                        message = await self._queue.get()
                except TimeoutError:
                    message = None
                if isinstance(message, dict) and message.get("e") == "error":
                    raise ExchangeUnavailable(f"the stream ended: {message.get('type')} {message.get('m')}"[:200])
                if message is not None or self.received:
                    self.received = False
                    yield message

        async def close(self) -> None:
            self.ws_state = WSListenerState.EXITING
            if self.ws:
                await self.ws.close()
            await super().close()

    class Streams(BinanceSocketManager):  # type: ignore[misc]
        STREAM_URL = stream_url

        def _get_socket(self, path: str, prefix: str = "ws/", **_: Any) -> Any:
            options = {"proxy": None} if direct else {}
            return Socket(stream_url, path=path, prefix=prefix, max_queue_size=self._max_queue_size, **options)

    return SimpleNamespace(
        Rest=Rest,
        Streams=Streams,
        APIError=BinanceAPIException,
        RequestError=Unreadable,
        BodyError=aiohttp.ClientPayloadError,
        HTTPError=aiohttp.ClientError,
        SocketError=WebSocketException,
    )


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
