"""Benchmark of push to many subscribers: the hub beside the Redis layer of Channels.

    uv run python -m benchmarks.push --json [--clients 100 500] [--rounds 40]

Starts a private Redis and two uvicorn processes, connects the same number of websockets to each, and alternates:
publish, then wait for the last client. The engine publishes as on the live path: a signal of the log is sent from the
outbox, which includes marking it. The baseline follows the Channels documentation: a consumer in a group of
`RedisPubSubChannelLayer` that forwards what it receives. Both send the same text. The last line is one JSON object:
median time of the baseline over that of the engine (above 1 where the engine is faster).
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = "push-benchmark-key-of-more-than-32-characters"
STEP = 300_000
FIRST_OPEN = 1_735_689_600_000


def baseline():
    """ASGI application of the baseline, for ``uvicorn --factory``."""
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
    """Minimal websocket client that counts signals, so that the servers are what is measured."""

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
        """Next frame of the server, which is neither masked nor fragmented."""
        if len(self.buffer) < 4:
            return None
        length, start = self.buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(self.buffer[2:4]), 4
        if len(self.buffer) < start + length:
            return None
        text, self.buffer = self.buffer[start : start + length], self.buffer[start + length :]
        return text

    def send(self, message: dict) -> None:
        text = json.dumps(message).encode()
        self.transport.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)


class ClientGroup:
    """Clients of one server, and an event set when all have received the signal."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.missing = 0
        self.complete = asyncio.Event()

    def count_received(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.complete.set()

    async def connect(self, port: int, path: str, count: int, symbol: str = "") -> None:
        loop = asyncio.get_running_loop()
        while len(self.clients) < count:
            _, client = await loop.create_connection(lambda: Client(path, self.count_received), "127.0.0.1", port)
            assert b" 101 " in await asyncio.wait_for(client.texts.get(), 20)
            if symbol:
                assert b"authenticated" in await asyncio.wait_for(client.texts.get(), 20)
                client.send({"type": "subscribe", "symbols": [symbol]})
                assert b"subscribed" in await asyncio.wait_for(client.texts.get(), 20)
            self.clients.append(client)

    async def time(self, publish) -> float:
        """Seconds from the start of `publish` until the last client has received the signal."""
        self.missing, started = len(self.clients), time.perf_counter()
        self.complete.clear()
        publishing = asyncio.ensure_future(publish())
        await asyncio.wait_for(self.complete.wait(), 20)
        elapsed = time.perf_counter() - started
        await publishing
        return elapsed


def write_signal(symbol: str, number: int) -> str:
    """Write the next signal of a market to the log and return its published bytes."""
    from marketdata.models import Market
    from signals.drafting import Draft
    from signals.log.recording import record
    from signals.models import OutboxMessage

    draft = Draft(Market.objects.get(symbol=symbol), FIRST_OPEN + number * STEP, 94_321.12, reasons=["LATE"])
    (row,) = record([draft], draft.open_ms + 900_000)
    return OutboxMessage.objects.get(signal=row).payload


async def compare(url: str, ports: tuple[int, int], counts: list[int], rounds: int) -> dict:
    from channels_redis.pubsub import RedisPubSubChannelLayer

    from signals.delivery import publisher

    layer = RedisPubSubChannelLayer(hosts=[url])
    # One thread, as in a worker: its connections to database and Redis are open before the first round.
    worker = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    found = {}
    for count in counts:
        symbol, group = symbol_of(count), f"signals.{count}"
        engine, channels = ClientGroup(), ClientGroup()
        await engine.connect(ports[0], "/ws/signals", count, symbol)
        await channels.connect(ports[1], f"/{group}", count)
        times: tuple[list[float], list[float]] = ([], [])
        for seq in range(1, rounds + 1):
            payload = await loop.run_in_executor(worker, write_signal, symbol, seq)
            text = f'{{"type":"signal","symbol":"{symbol}","seq":{seq},"signal":{payload}}}'
            drain = lambda: loop.run_in_executor(worker, publisher.drain, [symbol])  # noqa: B023, E731
            times[0].append(await engine.time(drain))
            await asyncio.sleep(0.05)
            event = {"type": "signal.published", "text": text}
            times[1].append(await channels.time(lambda: layer.group_send(group, event)))  # noqa: B023
            await asyncio.sleep(0.05)
        for client in engine.clients + channels.clients:
            client.transport.close()
        medians = [statistics.median(part) for part in times]
        found[f"last_of_{count}_vs_channels"] = round(medians[1] / medians[0], 2)
        found[f"last_of_{count}_ms"] = {
            "ours": round(1000 * medians[0], 2), "ours_worst": round(1000 * max(times[0]), 2),
            "channels": round(1000 * medians[1], 2), "channels_worst": round(1000 * max(times[1]), 2),
        }  # fmt: skip
    return found


def symbol_of(count: int) -> str:
    """Symbol of a group of clients; each group has its own market and sequence."""
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
    raise SystemExit(f"no server on port {port}")


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
        for arguments in (["migrate", "--no-input", "-v0"], ["seed_markets"]):
            subprocess.run(manage + arguments, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
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
        os.environ.update(environment, DJANGO_SETTINGS_MODULE="mlengine_project.settings")
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        return asyncio.run(compare(url, (ports[0], ports[1]), counts, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    print(json.dumps(measure(sorted(options.clients), options.rounds)))


if __name__ == "__main__":
    main()
