"""Benchmark of push to many websockets: beside the Redis layer of Channels, and beside a bare loop.

    uv run python -m benchmarks.push --json [--clients 2000] [--rounds 20] [--messages 1000000] [--held 5000]

Starts a private Redis and three servers of one process each, and connects the same number of websockets to each. By
turns: publish, then wait for the last client. The engine (web command of the Dockerfile) publishes as on the live path:
a signal of the log is sent from the outbox, which includes announcing it and reading it again. The first baseline
follows the Channels documentation: a consumer in a group of `RedisPubSubChannelLayer` that forwards what it receives.
The second is the floor: a bare loop that writes the ready frame to every transport. All send the same text.

Then the engine alone: ``--messages`` signals, counted and checked for order at every client. First of all, so that
memory is that of a new process, ``--held`` idle websockets for 30 seconds. The last line is one JSON object of medians:
`last_of_N_vs_channels` (above 1 where the engine is faster), `last_of_N_over_floor` (1 is the floor), `lost`,
`disordered`, `held`, and the resident memory of the server for each idle client.
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import hashlib
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks.websocket_clients import ClientGroup
from tests.flows.processes import web_words

ROOT = Path(__file__).resolve().parent.parent
KEY = "push-benchmark-key-of-more-than-32-characters"
STEP = 300_000
FIRST_OPEN = 1_735_689_600_000
HOLD_SECONDS = 30.0
QUIET_SECONDS = 0.5
"""Pause between turns: what a server does after its last client has received must not fall into the next turn."""
BATCH = 10
"""Signals of one market in one drain of the run of all messages."""
SYMBOL, HELD_SYMBOL = "BTCUSDT", "ETHUSDT"


# --- baselines --------------------------------------------------------------------------------------------------------


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
            await self.channel_layer.group_add("signals", self.channel_name)
            await self.accept()

        async def signal_published(self, event):
            await self.send(text_data=event["text"])

    return ProtocolTypeRouter({"websocket": Consumer.as_asgi()})


class BareServer(asyncio.Protocol):
    """Floor: accepts handshakes; each datagram is written to all transports as it is."""

    transports: set[asyncio.Transport] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, chunk: bytes) -> None:
        _, found, rest = chunk.partition(b"Sec-WebSocket-Key: ")
        if found:
            token = rest.partition(b"\r\n")[0] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(token).digest())  # noqa: S324  # RFC 6455
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.transports.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.transports.discard(self.transport)


class Trigger(asyncio.DatagramProtocol):
    def datagram_received(self, frame: bytes, address) -> None:  # noqa: ARG002
        for transport in BareServer.transports:
            transport.write(frame)


def floor(port: int) -> None:
    """Serve the floor; runs as a process."""
    import uvloop

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Trigger, ("127.0.0.1", port))
        await (await loop.create_server(BareServer, "127.0.0.1", port, backlog=2048)).serve_forever()

    uvloop.run(serve())


# --- the engine -------------------------------------------------------------------------------------------------------


def write_signals(symbol: str, first: int, count: int) -> list[str]:
    """Write the next signals of a market to the log and return their published bytes."""
    from marketdata.models import Market
    from signals.drafting import Draft
    from signals.log.recording import record
    from signals.models import OutboxMessage

    market = Market.objects.get(symbol=symbol)
    opens = [FIRST_OPEN + number * STEP for number in range(first, first + count)]
    rows = record([Draft(market, at, 94_321.12, reasons=["LATE"]) for at in opens], opens[-1] + 900_000)
    return list(OutboxMessage.objects.filter(signal__in=rows).order_by("seq").values_list("payload", flat=True))


async def compare(url: str, ports: list[int], server: psutil.Process, options: argparse.Namespace) -> dict:
    from signals.delivery import publisher

    # One thread, as in a worker: its connections to database and Redis are open before the first round.
    worker, loop = ThreadPoolExecutor(1), asyncio.get_running_loop()

    async def in_worker(function, *arguments):
        return await loop.run_in_executor(worker, function, *arguments)

    async def drain():
        await in_worker(publisher.drain)

    figures = await hold(ports[0], server, options.held, in_worker, drain)
    count = options.clients
    engine, channels, bare = (ClientGroup(KEY) for _ in range(3))
    await engine.connect(ports[0], "/ws/signals", [[SYMBOL]] * count)
    await channels.connect(ports[1], "/", [[]] * count)
    await bare.connect(ports[2], "/", [[]] * count)
    gc.collect()
    gc.freeze()  # a full collection over all clients would fall into one turn
    seconds = await take_turns(url, ports[2], (engine, channels, bare), options.rounds, in_worker, drain)
    channels.close()
    bare.close()
    figures |= await send_all(engine, -(-options.messages // count), in_worker, drain)
    engine.close()
    ours, theirs, least = (statistics.median(part) for part in seconds)
    names = ("engine", "channels", "floor")
    return {
        f"last_of_{count}_vs_channels": round(theirs / ours, 2),
        f"last_of_{count}_over_floor": round(ours / least, 2),
        f"last_of_{count}_ms": {
            name: {
                "least": milliseconds(min(part)),
                "median": milliseconds(statistics.median(part)),
                "worst": milliseconds(max(part)),
            }
            for name, part in zip(names, seconds, strict=True)
        },
        "rounds": options.rounds,
    } | figures


async def hold(port: int, server: psutil.Process, count: int, in_worker, drain) -> dict:
    """Hold idle clients, then publish one signal to all of them."""
    group = ClientGroup(KEY)
    await group.connect(port, "/ws/signals", [[HELD_SYMBOL]])  # what the first client loads is not counted
    before = server.memory_info().rss
    started = time.perf_counter()
    await group.connect(port, "/ws/signals", [[HELD_SYMBOL]] * (count - 1))
    connecting = time.perf_counter() - started
    await asyncio.sleep(HOLD_SECONDS)
    memory = (server.memory_info().rss - before) / (count - 1)
    group.expect()
    await in_worker(write_signals, HELD_SYMBOL, 0, 1)
    last = await group.time(drain)
    held = sum(client.is_open and client.received == 1 for client in group.clients)
    group.close()
    await asyncio.sleep(2)
    return {
        "held": held, "held_seconds": HOLD_SECONDS, "last_of_held_ms": milliseconds(last),
        "idle_kib_per_client": round(memory / 1024, 1), "handshakes_per_second": round((count - 1) / connecting),
    }  # fmt: skip


async def take_turns(url: str, bare_port: int, groups, rounds: int, in_worker, drain) -> tuple[list[float], ...]:
    """Seconds until the last client, by server and round; a turn in which the hub's own poll was first is repeated."""
    from channels_redis.pubsub import RedisPubSubChannelLayer

    from signals.delivery.protocol import signal

    layer = RedisPubSubChannelLayer(hosts=[url])
    trigger, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", bare_port)
    )
    engine, channels, bare = groups
    written = 0

    async def time_engine() -> float:
        nonlocal written
        seconds = 0.0
        while seconds <= 0:
            engine.expect()
            (payload,) = await in_worker(write_signals, SYMBOL, written, 1)
            written += 1
            messages.append(signal(SYMBOL, written, payload))
            seconds = await engine.time(drain)
        return seconds

    async def time_channels() -> float:
        channels.expect()
        event = {"type": "signal.published", "text": messages[-1].text}
        return await channels.time(lambda: layer.group_send("signals", event))

    async def time_floor() -> float:
        async def write_bare() -> None:
            trigger.sendto(messages[-1].ready)

        bare.expect()
        return await bare.time(write_bare)

    messages: list = []
    await time_engine()  # not counted: first use of every connection
    await time_channels()
    await time_floor()
    seconds: tuple[list[float], ...] = ([], [], [])
    turns = list(zip(seconds, (time_engine, time_channels, time_floor), strict=True))
    for number in range(rounds):
        first = number % len(turns)  # each server follows each other one equally often
        order = turns[first:] + turns[:first]
        for part, turn in order if number // len(turns) % 2 else order[::-1]:
            await asyncio.sleep(QUIET_SECONDS)
            part.append(await turn())
    trigger.close()
    for name, part in zip(("engine", "channels", "floor"), seconds, strict=True):
        print(name, "ms by round:", *(round(1000 * value) for value in part), file=sys.stderr)
    return seconds


async def send_all(group: ClientGroup, signals: int, in_worker, drain) -> dict:
    """Send so many signals to every client in batches, and compare what each received."""
    first, before = max(client.last_seq or 0 for client in group.clients), received_by(group)
    started = time.perf_counter()
    for sent in range(0, signals, BATCH):
        batch = min(BATCH, signals - sent)
        group.expect(batch)
        await in_worker(write_signals, SYMBOL, first + sent, batch)
        await group.time(drain)
    seconds = time.perf_counter() - started
    expected, received = len(group.clients) * signals, received_by(group) - before
    return {
        "messages": expected,
        "lost": max(expected - received, sum(client.lost for client in group.clients)),
        "disordered": sum(client.disordered for client in group.clients),
        "closed": len(group.clients) - group.count_open(),
        "messages_per_second": round(expected / seconds),
    }


def received_by(group: ClientGroup) -> int:
    return sum(client.received for client in group.clients)


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 2)


# --- processes --------------------------------------------------------------------------------------------------------


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


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(options: argparse.Namespace) -> dict:
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not installed")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        redis_port, *ports = (free_port() for _ in range(4))
        url = f"redis://127.0.0.1:{redis_port}/0"
        environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | {
            "REDIS_URL": url, "MLENGINE_STATE_DIR": folder, "MLENGINE_ENV_FILE": "", "API_KEY": KEY,
            "SECRET_KEY": KEY, "API_KEY_PEPPER": KEY, "LOG_LEVEL": "WARNING",
            "SUPPORTED_SYMBOLS": f"{SYMBOL},{HELD_SYMBOL}",
        }  # fmt: skip
        manage = [sys.executable, "manage.py"]
        for arguments in (["migrate", "--no-input", "-v0"], ["seed_markets"]):
            subprocess.run(manage + arguments, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        plain = [sys.executable, "-m", "uvicorn", "--ws", "websockets-sansio", "--lifespan", "off"]
        plain += ["--log-level", "warning", "--no-access-log", "--ws-per-message-deflate", "false"]
        commands = (
            [binary, "--port", str(redis_port), "--save", "", "--bind", "127.0.0.1"],
            web_words(ports[0]),
            [*plain, "--port", str(ports[1]), "--factory", "benchmarks.push:baseline"],
            [sys.executable, "-c", f"from benchmarks.push import floor; floor({ports[2]})"],
        )
        servers = []
        for command, port in zip(commands, (redis_port, *ports), strict=True):
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(stop, process)
            wait_for_port(port)
            servers.append(psutil.Process(process.pid))
        os.environ.update(environment, DJANGO_SETTINGS_MODULE="mlengine_project.settings")
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        return asyncio.run(compare(url, ports, servers[1], options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--held", type=int, default=5000)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
