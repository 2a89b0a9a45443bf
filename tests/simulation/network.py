"""Virtual network: replaces the HTTP session and websockets below python-binance."""

import asyncio
import math
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import orjson
from websockets.exceptions import ConnectionClosedError, InvalidHandshake
from websockets.protocol import State

from marketdata.intervals import INTERVAL, INTERVAL_MS, floor_open
from marketdata.simulator.faults import REQUEST_FAULTS
from marketdata.simulator.http.limits import WEIGHTS, Limits, WeightMeter
from marketdata.simulator.http.refusals import Refusal, over_limit
from marketdata.simulator.http.request_faults import wrong_response
from marketdata.simulator.http.rest import RestApi
from marketdata.simulator.klines import stream_event
from marketdata.simulator.venue import Message

HEARTBEAT_SECONDS = 12.0


class Network:
    """Network between one client and the venue, with latency and the faults of the plan."""

    def __init__(self, world, venue, effect=lambda name: None):
        self.world, self.venue = world, venue
        self.effect = effect  # called before every external effect of the process
        self.meter = WeightMeter(Limits())
        self.api = RestApi(venue, self.meter)
        self.sockets = []
        self.is_silent = self.is_refusing = self.is_offline = False
        self.silent_until = 0.0  # end of the Retry-After time given to the client
        self.violations = 0
        self.requests = 0
        self.accepted = 0  # websockets
        self._rng = world.rng("network")
        self._open_messages = ("", 0, [])
        self._tick()
        self._heartbeat()

    # --- venue side ---

    def _tick(self):
        now_ms = self.venue.clock.now_ms()
        self._apply_faults(now_ms)
        self.say(self.venue.step(now_ms))
        due = self.venue.next_due(self.venue.clock.now_ms())
        self.world.after(max(0.001, self.venue.clock.wall_seconds_until(due)), self._tick)

    def _apply_faults(self, now_ms):
        faults = self.venue.faults
        self.is_silent = faults.trigger(("silence",), now_ms) is not None
        self.is_refusing = faults.trigger(("refused_stream",), now_ms) is not None
        offline = faults.trigger(("offline",), now_ms) is not None
        if faults.trigger(("cut",), now_ms) or (offline and not self.is_offline):
            self.cut()
        self.is_offline = offline
        if shutdown := faults.trigger(("shutdown",), now_ms):
            connections = list(self.sockets)
            for socket in connections:
                socket.send(orjson.dumps({"e": "serverShutdown", "E": now_ms}).decode())
            self.world.after(shutdown.seconds, lambda: [socket.cut() for socket in connections])

    def _heartbeat(self):
        """Send an open candle periodically, less often than the real exchange's two seconds."""
        now_ms = self.venue.clock.now_ms()
        if self.sockets:
            symbol = self.venue.symbols[floor_open(now_ms) // INTERVAL_MS % len(self.venue.symbols)]
            if (symbol, floor_open(now_ms)) != self._open_messages[
                :2
            ]:  # the first message of an open candle is repeated for all of it
                kline = self.venue.candles.forming(symbol, now_ms)
                event = kline and stream_event(symbol, kline, now_ms, is_closed=False)
                self._open_messages = symbol, floor_open(now_ms), [Message(symbol, event)] if event else []
            self.say(self._open_messages[2])
        self.world.after(HEARTBEAT_SECONDS, self._heartbeat)

    def say(self, messages):
        for symbol, event in messages:
            stream = f"{symbol.lower()}@kline_{INTERVAL}"
            if isinstance(event, str):
                text = f'{{"stream":"{stream}","data":{event}}}'
            else:
                text = orjson.dumps({"stream": stream, "data": event}).decode()
            for socket in list(self.sockets):
                if stream in socket.streams and not self.is_silent:
                    socket.send(text)

    def cut(self):
        for socket in list(self.sockets):
            socket.cut()

    def hole(self):
        """Drop all further messages on the existing connections without closing them."""
        for socket in self.sockets:
            socket.is_dropping = True

    def latency(self):
        return 0.005 + self._rng.expovariate(40.0) + (self._rng.random() < 0.01) * self._rng.uniform(0.2, 3.0)

    # --- client side ---

    async def get(self, url, seconds):
        """One request; raises what aiohttp raises."""
        self.effect("request")
        parts = urlsplit(str(url))
        name, query = parts.path.rsplit("/", 1)[-1], dict(parse_qsl(parts.query))
        self.requests += 1
        self.world.note("asks", name, parts.query)
        if self.world.now < self.silent_until:
            self.violations += 1
            self.world.note("although asked for silence")
        await asyncio.sleep(self.latency())
        if self.is_offline:
            raise aiohttp.ClientConnectionError("connection refused")
        status, headers, body, wait, is_whole = self._answer(name, parts.path, query)
        wait += self.latency()
        if wait >= seconds:
            await asyncio.sleep(seconds)
            raise TimeoutError
        await asyncio.sleep(wait)
        if status == 0:
            raise aiohttp.ServerDisconnectedError
        if status in {418, 429}:
            self.silent_until = max(self.silent_until, self.world.now + int(headers["Retry-After"]))
        self.world.note("hears", name, status, len(body))
        return VirtualResponse(status, headers, body, is_whole)

    def _answer(self, name, path, query):
        """Status, headers, body, duration in seconds and whether the body is complete."""
        now_ms = self.venue.clock.now_ms()
        fault = self.venue.faults.trigger(REQUEST_FAULTS, now_ms, query.get("symbol", ""), path)
        verdict = self.meter.charge(WEIGHTS[name])
        request = SimpleNamespace(transport=None)
        if verdict.status != 200:
            response = over_limit(verdict, self.meter.limits.weight_per_minute)
        elif fault and fault.kind == "refused":
            return 0, {}, b"", 0.0, False
        elif not fault or (response := wrong_response(fault, request, self.meter)) is None:
            try:
                handle = {"time": self.api.time, "exchangeInfo": self.api.exchange_info, "klines": self.api.klines}
                body = orjson.dumps(handle[name](query, now_ms, fault.kind if fault else ""))
                response = SimpleNamespace(status=200, headers={}, body=body)
            except Refusal as refusal:
                response = refusal.response()
        headers = {**response.headers, "X-MBX-USED-WEIGHT-1M": str(verdict.used_weight)}
        wait = fault.seconds if fault and fault.kind in {"slow", "dripping"} else 0.0
        return response.status, headers, bytes(response.body), wait, not (fault and fault.kind == "truncated")

    async def connect(self, url):
        """One websocket; raises what `websockets` raises."""
        self.effect("connect")
        self.world.note("connects")
        await asyncio.sleep(3 * self.latency())
        if self.is_offline:
            raise ConnectionRefusedError("connection refused")
        if self.is_refusing:
            raise InvalidHandshake("server rejected WebSocket connection: HTTP 503")
        if self._rng.random() < 0.01:
            await asyncio.sleep(60)
        socket = VirtualSocket(self, frozenset(dict(parse_qsl(urlsplit(url).query))["streams"].split("/")))
        self.sockets.append(socket)
        self.accepted += 1
        return socket


class VirtualSocket:
    """Client side of a websocket; frames arrive in the order they were sent."""

    def __init__(self, network, streams):
        self.streams = streams
        self.state = State.OPEN
        self.is_dropping = False
        self._network, self._arrived, self._waiter, self._last = network, [], None, 0.0

    def send(self, text):
        """Send a frame to the client after a latency."""
        if self.is_dropping:
            return
        self._last = max(self._last, self._network.world.now + self._network.latency())
        self._network.world.at(self._last, lambda: self._arrive(text))

    def cut(self):
        """Cut the connection; frames in transit are lost."""
        self._disconnect()
        self._wake()

    def _arrive(self, text):
        if self.state is State.OPEN and not self.is_dropping:
            self._arrived.append(text)
            self._wake()

    def _wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _disconnect(self):
        self.state = State.CLOSED
        if self in self._network.sockets:
            self._network.sockets.remove(self)

    async def recv(self):
        while not self._arrived:
            if self.state is not State.OPEN:
                raise ConnectionClosedError(None, None)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._arrived.pop(0)

    async def close(self):
        self._disconnect()
        self._wake()


class VirtualConnecting:
    """Context manager as returned by `websockets.connect`."""

    protocol = None

    def __init__(self, network, url):
        self._network, self._url, self._socket = network, url, None

    async def __aenter__(self):
        self._socket = await self._network.connect(self._url)
        return self._socket

    async def __aexit__(self, *_):
        if self._socket is not None:
            await self._socket.close()


class VirtualResponse:
    """The parts of an aiohttp response that python-binance and the engine use."""

    def __init__(self, status, headers, body, is_whole):
        self.status, self.headers = status, headers
        self._body, self._is_whole = body, is_whole
        self.content = self

    async def read(self, size=-1):
        if not self._is_whole:
            raise aiohttp.ClientPayloadError("Response payload is not completed")
        if size < 0:
            return self._body
        body, self._body = self._body[:size], self._body[size:]
        return body

    async def text(self):
        return (await self.read()).decode()

    async def json(self):
        return orjson.loads(await self.text())


class VirtualSession:
    """The parts of an aiohttp session that python-binance uses."""

    def __init__(self, network):
        self._network = network

    def get(self, url, *, timeout=10, **_):
        return _Getting(self._network, url, timeout)

    async def close(self):
        pass


class _Getting:
    def __init__(self, network, url, seconds):
        self._request = (url, seconds if isinstance(seconds, int | float) else math.inf)
        self._network = network

    async def __aenter__(self):
        return await self._network.get(*self._request)

    async def __aexit__(self, *_):
        pass


@contextmanager
def wired(network):
    """Replace session and websocket of python-binance by virtual ones, and nothing else."""
    from binance import AsyncClient
    from binance.ws import reconnecting_websocket

    session, websockets = AsyncClient._init_session, reconnecting_websocket.ws
    AsyncClient._init_session = lambda self: VirtualSession(network)
    reconnecting_websocket.ws = SimpleNamespace(
        connect=lambda url, **_: VirtualConnecting(network, url), protocol=websockets.protocol
    )
    try:
        yield
    finally:
        AsyncClient._init_session, reconnecting_websocket.ws = session, websockets
