"""The simulator's websocket API: connections, subscriptions and queued frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

import orjson
import structlog
from aiohttp import WSMsgType, web

from marketdata import clock
from marketdata.simulator.http.limits import Limits, RateLimiter
from marketdata.simulator.http.stream_requests import InvalidRequest, StreamRequest, parse_request

log = structlog.get_logger(__name__)

MAX_QUEUED_FRAMES = 20_000
POLICY_VIOLATION = 1008


class Connection:
    """One websocket: its streams, format (raw or combined) and queued frames."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request, limits: Limits, *, combined: bool) -> None:
        self.socket = socket
        self.combined = combined
        self.streams: list[str] = []
        self.opened = self.last_pong_at = clock.monotonic()
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self.message_limiter = RateLimiter(limits.messages_per_second, 1.0)
        self._transport = request.transport

    def put(self, stream: str, payload: bytes) -> None:
        """Queue one frame; a connection whose queue is full is cut, as on the exchange."""
        if self.waiting.qsize() >= MAX_QUEUED_FRAMES:
            self.abort()
            return
        framed = b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}" if self.combined else payload
        self.waiting.put_nowait(framed)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Send queued frames until the connection ends."""
        while True:
            payload = await self.waiting.get()
            try:
                await self.socket.send_str(payload.decode())
            except (ConnectionError, RuntimeError):
                return
            finally:
                self.waiting.task_done()


class StreamHub:
    """All connections and their subscriptions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections: set[Connection] = set()
        self.is_silent = False
        self.is_refusing = False
        self.accepted = 0
        self.changed = asyncio.Event()
        self._listeners: dict[str, set[Connection]] = defaultdict(set)
        self._connection_limiter = RateLimiter(limits.connections_per_five_minutes, 300.0)

    def routes(self) -> list[web.RouteDef]:
        """The documented paths."""
        return [
            web.get("/ws", self.handle),
            web.get("/ws/{streams:.+}", self.handle),
            web.get("/stream", self.handle),
        ]

    @property
    def has_listeners(self) -> bool:
        """Whether there is any subscription."""
        return bool(self._listeners)

    def send(self, stream: str, event: dict[str, Any] | str) -> None:
        """Queue an event for all subscribers of a stream."""
        listeners = self._listeners.get(stream)
        if not listeners or self.is_silent:
            return
        payload = event.encode() if isinstance(event, str) else orjson.dumps(event)
        for connection in list(listeners):
            connection.put(stream, payload)

    def announce(self, event: dict[str, Any]) -> None:
        """Queue an event for every connection, subscribed or not."""
        for connection in self.connections:
            connection.put("!serverShutdown", orjson.dumps(event))

    def subscribe(self, connection: Connection, streams: list[str]) -> None:
        """Add streams to a connection's subscriptions."""
        connection.streams += [stream for stream in streams if stream not in connection.streams]
        for stream in streams:
            self._listeners[stream].add(connection)
        self.changed.set()

    def unsubscribe(self, connection: Connection, streams: list[str]) -> None:
        """Remove streams from a connection's subscriptions."""
        connection.streams = [stream for stream in connection.streams if stream not in streams]
        for stream in streams:
            self._listeners[stream].discard(connection)
            if not self._listeners[stream]:
                del self._listeners[stream]

    def answer(self, connection: Connection, text: str) -> dict[str, Any]:
        """Execute the request in a message and return the documented response."""
        try:
            request = parse_request(text)
            return {"result": self._execute(connection, request), "id": request.id}
        except InvalidRequest as error:
            return {"code": error.code, "msg": str(error)}

    def _execute(self, connection: Connection, request: StreamRequest) -> list[str] | bool | None:
        streams = request.streams
        match request.method:
            case "SUBSCRIBE" if len({*connection.streams, *streams}) > self.limits.streams_per_connection:
                raise InvalidRequest("too many parameters")
            case "SUBSCRIBE":
                self.subscribe(connection, streams)
            case "UNSUBSCRIBE":
                self.unsubscribe(connection, [name for name in streams if name in connection.streams])
            case "LIST_SUBSCRIPTIONS":
                return list(connection.streams)
            case "GET_PROPERTY":
                return connection.combined
            case "SET_PROPERTY":
                connection.combined = bool(request.params[-1]) if request.params else connection.combined
        return None

    def cut(self) -> None:
        """Cut every connection."""
        for connection in list(self.connections):
            connection.abort()

    async def close(self) -> None:
        """Close every connection with a close frame."""
        for connection in list(self.connections):
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(connection.socket.close(code=1001), timeout=0.5)

    async def drained(self) -> None:
        """Wait until every queued frame has been sent."""
        for connection in list(self.connections):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.waiting.join(), timeout=5)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle one websocket connection."""
        combined = request.path == "/stream"
        named = request.query.get("streams", "") if combined else request.match_info.get("streams", "")
        streams = [stream for stream in named.split("/") if stream]
        if status := self._refusal(len(streams)):
            log.warning("socket refused", status=status, streams=len(streams))
            return web.Response(status=status)
        socket = web.WebSocketResponse(autoping=False, compress=False, timeout=0.5)
        await socket.prepare(request)
        connection = Connection(socket, request, self.limits, combined=combined)
        self.connections.add(connection)
        self.accepted += 1
        self.subscribe(connection, streams)
        tasks = [asyncio.create_task(connection.write()), asyncio.create_task(self._watch(connection))]
        try:
            await self._listen(connection)
        finally:
            self.connections.discard(connection)
            self.unsubscribe(connection, list(connection.streams))
            for task in tasks:
                task.cancel()
        return socket

    def _refusal(self, stream_count: int) -> int:
        """HTTP status with which a new socket is refused, 0 if it is accepted."""
        if self.is_refusing:
            return 503
        if stream_count > self.limits.streams_per_connection:
            return 400
        return 0 if self._connection_limiter.admit() else 429

    async def _listen(self, connection: Connection) -> None:
        async for message in connection.socket:
            if self.is_silent:
                continue
            if message.type == WSMsgType.PONG:
                connection.last_pong_at = clock.monotonic()
                continue
            if not connection.message_limiter.admit():
                log.warning("socket closed", reason="too many messages")
                await connection.socket.close(code=POLICY_VIOLATION, message=b"Too many requests")
                return
            if message.type == WSMsgType.PING:
                await connection.socket.pong(message.data)
            elif message.type == WSMsgType.TEXT:
                connection.waiting.put_nowait(orjson.dumps(self.answer(connection, message.data)))

    async def _watch(self, connection: Connection) -> None:
        """Send pings, and close connections without pong or older than a day."""
        while True:
            await asyncio.sleep(self.limits.ping_seconds)
            now = clock.monotonic()
            if self.is_silent:
                continue
            if now - connection.opened >= self.limits.connection_seconds:
                await connection.socket.close(code=1001)
                return
            if now - connection.last_pong_at > self.limits.pong_seconds:
                log.warning("socket closed", reason="no pong")
                connection.abort()
                return
            await connection.socket.ping(str(clock.wall_ms()).encode())
