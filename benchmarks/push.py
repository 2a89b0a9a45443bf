"""One signal to many subscribers: our hub beside Channels' own Redis layer, in the same run.

    uv run python -m benchmarks.push --json [--clients 100 500] [--rounds 40]

Starts a private Redis and two uvicorn processes, connects the same number of websockets to each, and
takes turns: publish, then wait for the last client. The rival is what the Channels documentation shows: a
consumer in a group of `RedisPubSubChannelLayer` that sends on what it is handed. Both send the same
text. The last line is one JSON object: rival's median time over ours (above 1 where we are faster).
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = "push-benchmark-key-of-more-than-32-characters"
SIGNAL = {
    "id": "00000000-0000-4000-8000-000000000000", "seq": 0, "symbol": "", "candle_time": "2025-01-01T00:00:00Z",
    "made_at": "2025-01-01T00:05:00.412000Z", "valid_until": "2025-01-01T00:10:15Z", "signal_type": "hold",
    "confidence": None, "horizon": 18, "entry_price": "94321.12000000", "considered_side": "buy",
    "take_profit": "94911.02000000", "stop_loss": "93731.22000000", "p_take_profit": 0.312345678901,
    "p_stop_loss": 0.301234567890, "p_neither": 0.386419753209, "p_break_even": 0.468012345678,
    "expected_net_return": -0.0020123456789, "fee_rate": 0.001, "reasons": ["NO_EDGE_AFTER_FEES"],
    "reason_details": {"NO_EDGE_AFTER_FEES": "no bracket is expected to earn more than it costs"},
    "model_versions": dict.fromkeys(("range_predictor", "signal_classifier", "tpsl_classifier"), "0" * 36),
    "simulated": True,
}  # fmt: skip


def baseline():
    """The rival's ASGI application, for ``uvicorn --factory``."""
    import django
    from django.conf import settings

    layer = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [os.environ["REDIS_URL"]]}}
    settings.configure(SECRET_KEY=KEY, CHANNEL_LAYERS={"default": layer}, INSTALLED_APPS=["channels"])
    django.setup()
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter

    class Consumer(AsyncWebsocketConsumer):
        async def connect(self):
            await self.channel_layer.group_add(self.scope["path"].strip("/"), self.channel_name)
            await self.accept()

        async def signal_published(self, event):
            await self.send(text_data=event["text"])

    return ProtocolTypeRouter({"websocket": Consumer.as_asgi()})


class Client(asyncio.Protocol):
    """A websocket that answers nothing and counts signals: cheap, so that the servers are what is measured."""

    def __init__(self, path: str, on_signal) -> None:
        self.path, self.on_signal = path, on_signal
        self.buffer = b""
        self.upgraded = False
        self.texts: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport) -> None:
        self.transport = transport
        key = b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {KEY}\r\n\r\n".encode()
        )

    def data_received(self, chunk: bytes) -> None:
        self.buffer += chunk
        if not self.upgraded:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.upgraded, self.buffer = True, rest
            self.texts.put_nowait(head)
        while (text := self._next()) is not None:
            if b'"signal_type"' in text:
                self.on_signal()
            else:
                self.texts.put_nowait(text)

    def _next(self) -> bytes | None:
        """One frame of the server, which never masks and never splits ours."""
        if len(self.buffer) < 4:
            return None
        length, start = self.buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(self.buffer[2:4]), 4
        if len(self.buffer) < start + length:
            return None
        text, self.buffer = self.buffer[start : start + length], self.buffer[start + length :]
        return text

    def say(self, message: dict) -> None:
        text = json.dumps(message).encode()
        self.transport.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)


class Crowd:
    """Clients of one server, and the moment the last of them had the signal."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.missing = 0
        self.complete = asyncio.Event()

    def arrived(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.complete.set()

    async def gather(self, port: int, path: str, count: int, symbol: str = "") -> None:
        loop = asyncio.get_running_loop()
        while len(self.clients) < count:
            _, client = await loop.create_connection(lambda: Client(path, self.arrived), "127.0.0.1", port)
            assert b" 101 " in await asyncio.wait_for(client.texts.get(), 20)
            if symbol:
                assert b"authenticated" in await asyncio.wait_for(client.texts.get(), 20)
                client.say({"type": "subscribe", "symbols": [symbol]})
                assert b"subscribed" in await asyncio.wait_for(client.texts.get(), 20)
            self.clients.append(client)

    async def time(self, publish) -> float:
        self.missing, begun = len(self.clients), time.perf_counter()
        self.complete.clear()
        await publish()
        await asyncio.wait_for(self.complete.wait(), 20)
        return time.perf_counter() - begun


async def race(url: str, ports: tuple[int, int], counts: list[int], rounds: int) -> dict:
    import redis.asyncio
    from channels_redis.pubsub import RedisPubSubChannelLayer

    redis_client, layer = redis.asyncio.from_url(url), RedisPubSubChannelLayer(hosts=[url])
    found = {}
    for count in counts:
        symbol, group = symbol_of(count), f"signals.{count}"
        ours, theirs = Crowd(), Crowd()
        await ours.gather(ports[0], "/ws/signals", count, symbol)
        await theirs.gather(ports[1], f"/{group}", count)
        times: tuple[list[float], list[float]] = ([], [])
        for seq in range(1, rounds + 1):
            payload = json.dumps({**SIGNAL, "seq": seq, "symbol": symbol}, separators=(",", ":"))
            text = f'{{"type":"signal","symbol":"{symbol}","seq":{seq},"signal":{payload}}}'
            times[0].append(await ours.time(lambda: redis_client.publish(f"signals:{symbol}", payload)))  # noqa: B023
            await asyncio.sleep(0.05)
            event = {"type": "signal.published", "text": text}
            times[1].append(await theirs.time(lambda: layer.group_send(group, event)))  # noqa: B023
            await asyncio.sleep(0.05)
        for client in ours.clients + theirs.clients:
            client.transport.close()
        medians = [statistics.median(part) for part in times]
        found[f"last_of_{count}_vs_channels"] = round(medians[1] / medians[0], 2)
        found[f"last_of_{count}_ms"] = {
            "ours": round(1000 * medians[0], 2), "ours_worst": round(1000 * max(times[0]), 2),
            "channels": round(1000 * medians[1], 2), "channels_worst": round(1000 * max(times[1]), 2),
        }  # fmt: skip
    await redis_client.aclose()
    return found


def symbol_of(count: int) -> str:
    """A market of its own for each crowd: nothing is in the log, so its sequence must begin at 1."""
    return f"OF{count}USDT"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def measure(counts: list[int], rounds: int) -> dict:
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not installed")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        redis_port, *ports = (free_port() for _ in range(3))
        url = f"redis://127.0.0.1:{redis_port}/0"
        environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | {
            "REDIS_URL": url, "MLENGINE_STATE_DIR": folder, "MLENGINE_ENV_FILE": "", "API_KEY": KEY,
            "SECRET_KEY": KEY, "API_KEY_PEPPER": KEY, "LOG_LEVEL": "WARNING",
            "SUPPORTED_SYMBOLS": ",".join(map(symbol_of, counts)),
        }  # fmt: skip
        manage = [sys.executable, "manage.py"]
        for words in (["migrate", "--no-input", "-v0"], ["seed_markets"]):
            subprocess.run(manage + words, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        serve = [sys.executable, "-m", "uvicorn", "--ws", "websockets-sansio", "--ws-ping-interval", "3600"]
        serve += ["--log-level", "warning", "--no-access-log"]
        commands = (
            [binary, "--port", str(redis_port), "--save", "", "--bind", "127.0.0.1"],
            [*serve, "--port", str(ports[0]), "mlengine_project.asgi:application"],
            [*serve, "--port", str(ports[1]), "--factory", "benchmarks.push:baseline", "--lifespan", "off"],
        )
        for command, port in zip(commands, (redis_port, *ports), strict=True):
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            wait_for_port(port)
        return asyncio.run(race(url, (ports[0], ports[1]), counts, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    print(json.dumps(measure(sorted(options.clients), options.rounds)))


if __name__ == "__main__":
    main()
