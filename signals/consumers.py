"""The websocket `/ws/signals`: who may listen, what they asked for, and when to let them go.

How a key or a ticket is known is handed in from above; see DESIGN's chapter on push for the words.
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
from predictions.payloads import iso
from signals import protocol, replay
from signals.connections import Connection
from signals.hub import hub
from signals.origins import header_values, own_origin

logger = logging.getLogger(__name__)

AUTHENTICATE_SECONDS = 5.0
HEARTBEAT_SECONDS = 15.0
MESSAGES, PER_SECONDS = 60, 10.0
"""Messages a client may send in any stretch of ten seconds."""
CONNECTIONS_A_KEY = 10_000
"""Per process: enough for a load test, too few to starve everyone else for ever."""


class SignalConsumer(AsyncWebsocketConsumer):
    """One websocket: authentication, then subscriptions served by the hub."""

    channel_layer_alias = "none"  # the hub does what a layer would; without one there is nothing to poll

    def __init__(
        self,
        authenticate_key: Callable[[str], Any],
        redeem_ticket: Callable[[str], Any],
        ended_keys: Callable[[set[str]], set[str]] | None = None,
    ) -> None:
        super().__init__()
        self.authenticate_key, self.redeem_ticket = authenticate_key, redeem_ticket
        if ended_keys is not None:
            hub.ended_keys = ended_keys
        self.connection: Connection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._arrivals: deque[float] = deque()
        self._gone = False

    # --- who is there -----------------------------------------------------------------------------

    async def connect(self) -> None:
        """Accept, always; then find out who it is."""
        await self.accept()
        keys = header_values(self.scope, b"x-api-key")
        origins = header_values(self.scope, b"origin")
        if keys:
            await self._enter_by_key(keys[0] if len(keys) == 1 else "")
            return
        user = self.scope.get("user")
        if origins and own_origin(self.scope, origins[0]) and user is not None and user.is_authenticated:
            await self._welcome("")
            return
        if origins and origins[0] not in settings.CORS_ORIGINS and not own_origin(self.scope, origins[0]):
            await self._refuse(protocol.NOT_ALLOWED, "this origin is not allowed")
            return
        self._start(self._expire())

    async def _enter_by_key(self, key: str) -> None:
        try:
            identity = await database_sync_to_async(self.authenticate_key)(key) if key else None
        except Exception:
            logger.exception("a key could not be checked")
            await self._refuse(protocol.TRY_LATER, "keys cannot be checked at the moment")
            return
        await self._enter(identity)

    async def _enter(self, identity: Any) -> None:
        if identity is None:
            await self._refuse(protocol.NOT_AUTHENTICATED, "not authenticated")
        elif hub.count_of(str(identity.key_id)) >= CONNECTIONS_A_KEY:
            await self._refuse(protocol.TOO_MANY, "too many connections")
        else:
            await self._welcome(str(identity.key_id))

    async def _welcome(self, key_id: str) -> None:
        if self._gone:
            return
        self.connection = Connection(self.send, self._hang_up, key_id)
        self.connection.missing = lambda symbol: self._start(self._mend(symbol))
        self.connection.put(protocol.frame("authenticated"))
        hub.join(self.connection)
        self._start(self._beat())

    async def _expire(self) -> None:
        await asyncio.sleep(AUTHENTICATE_SECONDS)
        if self.connection is None:
            await self._refuse(protocol.NOT_AUTHENTICATED, "no ticket came in time")

    async def _refuse(self, code: int, reason: str) -> None:
        if not self._gone:
            self._gone = True
            await self.close(code, reason)

    async def _hang_up(self, code: int) -> None:
        await self._refuse(code, "")

    # --- what they say ----------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002
        """Act on one message."""
        if self._gone:
            return
        now = clock.monotonic()
        self._arrivals.append(now)
        while now - self._arrivals[0] > PER_SECONDS:
            self._arrivals.popleft()
        if len(self._arrivals) > MESSAGES:
            await self._refuse(protocol.TOO_MANY, "too many messages")
            return
        longest = protocol.LONGEST_FIRST_MESSAGE if self.connection is None else protocol.LONGEST_MESSAGE
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
            await self._admit(message)
        else:
            self._serve(self.connection, message)

    async def _admit(self, message: protocol.Message) -> None:
        if message.type != "authenticate":
            await self._refuse(protocol.NOT_AUTHENTICATED, "authenticate first")
            return
        try:
            identity = await database_sync_to_async(self.redeem_ticket)(message.ticket)
        except Exception:
            logger.exception("a ticket could not be checked")
            await self._refuse(protocol.TRY_LATER, "tickets cannot be checked at the moment")
            return
        await self._enter(identity)

    def _serve(self, connection: Connection, message: protocol.Message) -> None:
        match message.type:
            case "ping":
                connection.put(protocol.frame("pong"))
            case "authenticate":
                connection.put(protocol.error("ValidationError", "already authenticated", symbols=[]))
            case "unsubscribe":
                hub.unsubscribe(connection, message.symbols)
                connection.drop(message.symbols)
                connection.put(protocol.frame("unsubscribed", symbols=list(message.symbols)))
            case "subscribe":
                self._start(self._subscribe(connection, message))

    # --- what they get ----------------------------------------------------------------------------

    async def _subscribe(self, connection: Connection, message: protocol.Message) -> None:
        """Acknowledge, then for each symbol its replay or snapshot, then what happened meanwhile, then live."""
        async with self._turn:
            known = await database_sync_to_async(replay.known_symbols)(message.symbols)
            unknown = [symbol for symbol in message.symbols if symbol not in known]
            if unknown:
                connection.put(protocol.error("ValidationError", "no market has these symbols", symbols=unknown))
            symbols = [symbol for symbol in message.symbols if symbol in known]
            # Held before the heads are read, so that nothing falls between replay and live.
            connection.drop(symbols)
            connection.hold(symbols)
            hub.subscribe(connection, symbols)
            heads = await database_sync_to_async(replay.heads_of)(symbols)
            hub.note_heads(heads)
            for symbol in await self._unplayable(connection, heads, message.after):
                heads.pop(symbol)
                hub.unsubscribe(connection, [symbol])
                connection.drop([symbol])
            if heads:
                connection.put(protocol.frame("subscribed", symbols=list(heads), seq=heads))
                await self._catch_up(connection, heads, message.after)

    async def _unplayable(self, connection: Connection, heads: dict[str, int], after: Any) -> list[str]:
        refused = []
        for symbol, seq in after.items():
            if symbol not in heads or seq == heads[symbol]:
                continue
            if seq > heads[symbol]:
                words = "that seq was not given out yet"
                connection.put(protocol.error("AheadOfHead", words, symbol=symbol, head=heads[symbol]))
                refused.append(symbol)
                continue
            first = await database_sync_to_async(replay.first_seq)(symbol)
            if first is None or seq + 1 < first:
                words = "that far back is no longer kept"
                connection.put(protocol.error("ReplayUnavailable", words, symbol=symbol, first_seq=first))
                refused.append(symbol)
        return refused

    async def _catch_up(self, connection: Connection, heads: dict[str, int], after: Any) -> None:
        fresh = {symbol: head for symbol, head in heads.items() if symbol not in after}
        if fresh:
            newest = await database_sync_to_async(replay.newest)(fresh)
            connection.put(protocol.snapshot([newest[symbol][1] for symbol in fresh if symbol in newest]))
        for symbol, head in heads.items():
            connection.places[symbol] = after.get(symbol, head)
            await self._replay(connection, symbol)

    async def _replay(self, connection: Connection, symbol: str) -> None:
        """Read on from the log until the signals held back connect, then go live."""
        behind = True
        while symbol in connection.symbols:
            if behind:
                await connection.room()
                place = connection.places.get(symbol, 0)
                entries = await database_sync_to_async(replay.entries_after)(symbol, place)
                for seq, payload in entries:
                    connection.replayed(symbol, seq, protocol.signal(symbol, seq, payload))
                if len(entries) == replay.PAGE:
                    continue
            if connection.release(symbol) is None:
                return
            behind = True

    async def _mend(self, symbol: str) -> None:
        async with self._turn:
            if self.connection is not None and symbol in self.connection.symbols:
                await self._replay(self.connection, symbol)

    async def _beat(self) -> None:
        while self.connection is not None:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            heads = {symbol: hub.heads.get(symbol, 0) for symbol in sorted(self.connection.symbols)}
            self.connection.put(protocol.frame("heartbeat", seq=heads, time=iso(clock.market_now())))

    # --- the end ----------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("a websocket could not be served")
            await self._refuse(protocol.TRY_LATER, "something is away; connect again later")

    async def disconnect(self, code: int) -> None:  # noqa: ARG002
        """Leave the hub and end everything this connection started."""
        self._gone = True
        if self.connection is not None:
            hub.leave(self.connection)
            self.connection.stop()
        for task in list(self._tasks):
            task.cancel()
