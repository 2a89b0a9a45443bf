"""Consumer of the websocket `/ws/signals`: authentication, subscriptions, limits and closing.

Checks of keys and tickets are passed in by the composition root; the frames are described at `/asyncapi`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from marketdata import clock
from marketdata.clock import iso
from signals.delivery import protocol
from signals.delivery.connections import Connection, always_queue
from signals.delivery.hub import hub
from signals.delivery.origins import header_values, own_origin, session_is_valid
from signals.delivery.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

AUTHENTICATE_SECONDS = 5.0
HEARTBEAT_SECONDS = 15.0
MAX_MESSAGES, RATE_WINDOW_SECONDS = 60, 10.0
"""Messages a client may send in any window of ten seconds."""
MAX_CONNECTIONS_PER_KEY = 10_000
"""Per process: enough for a load test, few enough to leave room for other keys."""


class SignalConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels ships no types
    """One websocket: authentication, then subscriptions served by the hub."""

    channel_layer_alias = "none"  # the hub replaces the layer; without one there is nothing to poll

    def __init__(
        self,
        authenticate_key: Callable[[str], Any],
        redeem_ticket: Callable[[str], Any],
        revoked_keys: Callable[[set[str]], set[str]] | None = None,
        count_wrong_key: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        super().__init__()
        self.authenticate_key, self.redeem_ticket = authenticate_key, redeem_ticket
        self.count_wrong_key = count_wrong_key
        if revoked_keys is not None:
            hub.revoked_keys = revoked_keys
        self.connection: Connection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_session = False
        self._arrivals: deque[float] = deque()
        self._closed = False

    # --- authentication ---------------------------------------------------------------------------

    async def connect(self) -> None:
        """Accept the connection, then authenticate it."""
        await self.accept()
        keys = header_values(self.scope, b"x-api-key")
        origins = header_values(self.scope, b"origin")
        if keys:
            await self._authenticate_by_key(keys[0] if len(keys) == 1 else "")
            return
        user = self.scope.get("user")
        if origins and own_origin(self.scope, origins[0]) and user is not None and user.is_authenticated:
            await self._open("")
            return
        if origins and origins[0] not in settings.CORS_ORIGINS and not own_origin(self.scope, origins[0]):
            await self._refuse(protocol.NOT_ALLOWED, "this origin is not allowed")
            return
        self._start(self._expire())

    async def _authenticate_by_key(self, key: str) -> None:
        if not key:
            await self._refuse(protocol.NOT_AUTHENTICATED, "not authenticated")
            return
        try:
            identity = await database_sync_to_async(self.authenticate_key)(key)
        except Exception:
            logger.exception("checking a key failed")
            await self._refuse(protocol.TRY_LATER, "keys cannot be checked at the moment")
            return
        await self._check_identity(identity)

    async def _check_identity(self, identity: Any) -> None:
        if identity is None:
            address = (self.scope.get("client") or ("",))[0]
            if await database_sync_to_async(self.count_wrong_key)(address):
                await self._refuse(protocol.NOT_AUTHENTICATED, "not authenticated")
            else:
                await self._refuse(protocol.TOO_MANY, "too many wrong keys from this address")
        elif hub.count_of(str(identity.key_id)) >= MAX_CONNECTIONS_PER_KEY:
            await self._refuse(protocol.TOO_MANY, "too many connections")
        else:
            await self._open(str(identity.key_id))

    async def _open(self, key_id: str) -> None:
        if self._closed:
            return
        self._by_session = not key_id
        write_ready = self.scope.get("extensions", {}).get(protocol.WRITE_READY, always_queue)
        self.connection = Connection(self.send, self._close_connection, key_id, write_ready)
        self._subscriptions = Subscriptions(self.connection, database_sync_to_async)
        self.connection.on_gap = lambda symbol: self._start(self._subscriptions.fill_gap(symbol))
        self.connection.put(protocol.frame("authenticated"))
        hub.join(self.connection)
        self._start(self._send_heartbeats())

    async def _expire(self) -> None:
        await asyncio.sleep(AUTHENTICATE_SECONDS)
        if self.connection is None:
            await self._refuse(protocol.NOT_AUTHENTICATED, "no ticket was received in time")

    async def _refuse(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            if self.connection is not None:
                self.connection.end()
            await self.close(code, reason)

    async def _close_connection(self, code: int) -> None:
        await self._refuse(code, "")

    # --- client messages --------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002
        """Process one message."""
        if self._closed:
            return
        now = clock.monotonic()
        self._arrivals.append(now)
        while now - self._arrivals[0] > RATE_WINDOW_SECONDS:
            self._arrivals.popleft()
        if len(self._arrivals) > MAX_MESSAGES:
            await self._refuse(protocol.TOO_MANY, "too many messages")
            return
        longest = protocol.MAX_FIRST_MESSAGE_BYTES if self.connection is None else protocol.MAX_MESSAGE_BYTES
        try:
            message = protocol.parse(text_data, longest)
        except protocol.BadMessage as bad:
            await self._refuse(protocol.BAD_MESSAGE, str(bad))
            return
        except protocol.InvalidField as bad:
            if self.connection is None:
                await self._refuse(protocol.NOT_AUTHENTICATED, "authenticate first")
            else:
                self.connection.put(protocol.error("ValidationError", str(bad), symbols=[]))
            return
        if self.connection is None:
            await self._authenticate_by_ticket(message)
        else:
            self._dispatch(self.connection, message)

    async def _authenticate_by_ticket(self, message: protocol.Message) -> None:
        if message.type != "authenticate":
            await self._refuse(protocol.NOT_AUTHENTICATED, "authenticate first")
            return
        try:
            identity = await database_sync_to_async(self.redeem_ticket)(message.ticket)
        except Exception:
            logger.exception("checking a ticket failed")
            await self._refuse(protocol.TRY_LATER, "tickets cannot be checked at the moment")
            return
        await self._check_identity(identity)

    def _dispatch(self, connection: Connection, message: protocol.Message) -> None:
        match message.type:
            case "ping":
                connection.put(protocol.frame("pong"))
            case "authenticate":
                connection.put(protocol.error("ValidationError", "already authenticated", symbols=[]))
            case "unsubscribe":
                self._start(self._subscriptions.unsubscribe(message.symbols))
            case "subscribe":
                self._start(self._subscriptions.subscribe(message))

    # --- heartbeats and closing -------------------------------------------------------------------

    async def _send_heartbeats(self) -> None:
        """Send the heads periodically, and check the session that opened this connection."""
        sent = 0
        while self.connection is not None:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            heads = {symbol: hub.heads.get(symbol, 0) for symbol in sorted(self.connection.symbols)}
            self.connection.put(protocol.frame("heartbeat", seq=heads, time=iso(clock.market_now())))
            sent += 1
            if self._by_session and sent % 2 == 0 and not await database_sync_to_async(session_is_valid)(self.scope):
                self.connection.close(protocol.NOT_AUTHENTICATED, protocol.error("NotAuthenticated", "signed out"))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("serving a websocket failed")
            await self._refuse(protocol.TRY_LATER, "a part of the service is unavailable; connect again later")

    async def disconnect(self, code: int) -> None:  # noqa: ARG002
        """Leave the hub and cancel all tasks of this connection."""
        self._closed = True
        if self.connection is not None:
            hub.leave(self.connection)
            self.connection.stop()
        for task in list(self._tasks):
            task.cancel()
