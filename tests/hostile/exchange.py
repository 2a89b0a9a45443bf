"""A test server that sends given websocket frames and REST bodies."""

import asyncio
import json
import threading

from aiohttp import WSMsgType, web

STEP = 300_000
LIMIT = 2_000_000_000


class HostileExchange:
    """A loopback server in a thread.

    Pages are valid unless `bodies` has another body for (symbol, startTime).
    """

    def __init__(self, now_ms):
        self.now_ms = now_ms
        self.bodies = {}
        self.sockets = set()
        self.accepted = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)

    def send(self, frames):
        """Send texts and bytes in order to all websockets; returns when they are sent."""
        asyncio.run_coroutine_threadsafe(self._send(list(frames)), self._loop).result(120)

    async def _send(self, frames):
        for frame in frames:
            for socket in list(self.sockets):
                await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))

    async def _serve(self):
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.add_routes(
            [
                web.get("/api/v3/time", self._time),
                web.get("/api/v3/exchangeInfo", self._info),
                web.get("/api/v3/klines", self._klines),
                web.get("/stream", self._stream),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _time(self, _request):
        return web.json_response({"serverTime": self.now_ms})

    async def _info(self, request):
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": LIMIT}]
        symbols = json.loads(request.query.get("symbols", "[]"))
        described = [{"symbol": symbol, "status": "TRADING"} for symbol in symbols]
        return web.json_response({"rateLimits": limits, "symbols": described})

    async def _klines(self, request):
        start, end = int(request.query["startTime"]), int(request.query["endTime"])
        invalid = self.bodies.pop((request.query["symbol"], start), None)
        if invalid is None:
            limit = int(request.query["limit"])
            return web.json_response([row_of(at) for at in range(start, end, STEP)[:limit]])
        body, headers = invalid
        return web.Response(body=body, headers={"Content-Type": "application/json", **headers})

    async def _stream(self, request):
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets.add(socket)
        self.accepted += 1
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
        finally:
            self.sockets.discard(socket)
        return socket


def row_of(at):
    """Valid candle of an open time as a row of klines; values depend on time only."""
    low = 20_000 + at // STEP % 1_000
    volume = 100 + at // STEP % 77
    return [
        at, f"{low + 5}.10000000", f"{low + 9}.50000000", f"{low}.25000000", f"{low + 7}.00000001",
        f"{volume}.12345678", at + STEP - 1, f"{volume * low}.00000000", 40 + at // STEP % 9,
        f"{volume // 2}.00000000", f"{volume // 2 * low}.00000000", "0",
    ]  # fmt: skip


def kline_of(at):
    """The same candle as the kline of a stream message."""
    row = row_of(at)
    names = {"t": 0, "T": 6, "o": 1, "h": 2, "l": 3, "c": 4, "v": 5, "q": 7, "n": 8, "V": 9, "Q": 10}
    return {**{name: row[place] for name, place in names.items()}, "s": "BTCUSDT", "i": "5m", "x": True}


def event_of(at):
    """The fields of a stream message around the kline."""
    return {"e": "kline", "E": at + STEP + 50, "s": "BTCUSDT"}
