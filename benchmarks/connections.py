"""Benchmark of serving: statuses, database connections and requests per second under concurrent load.

    uv run python -m benchmarks.connections --json [--callers 64] [--workers 4] [--seconds 60] [--rest 30]

Starts a private PostgreSQL and Redis, stores invented candles and tiny champions, and runs web processes by the
command of the Dockerfile with RATE_LIMIT=0. The callers send typical requests, each as fast as it gets responses. The
last line is one JSON object; connections are counted by PostgreSQL, over all processes.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
import psycopg

from tests.chaos.engine import Postgres
from tests.flows import processes

ROOT = Path(__file__).resolve().parent.parent
KEY = "connections-benchmark-key-of-more-than-32-characters"
SAMPLE_SECONDS = 0.25
PREDICTION = ("POST", "/predictions", {"symbol": "BTCUSDT", "horizon": 6})
REQUESTS = (
    PREDICTION,
    ("GET", "/signals?symbol=BTCUSDT&limit=20", None),
    ("GET", "/candles?symbol=ETHUSDT&limit=200", None),
    ("GET", "/models/status", None),
    ("POST", "/predictions", {"symbol": "ETHUSDT", "horizon": 72}),
    ("GET", "/predictions?symbol=BTCUSDT&limit=50", None),
    ("GET", "/markets", None),
    ("POST", "/signals", {"symbol": "BTCUSDT"}),
    ("GET", "/health/ready", None),
    ("POST", "/touches", {"symbol": "BTCUSDT", "horizon": 18, "prices": [1.0, 1000000.0]}),
)


def feed() -> None:
    """Prepare the database, then store every candle at its close; runs as a process."""
    import django

    django.setup()
    from django.core.management import call_command

    from marketdata import clock
    from signals import services
    from tests.champions import STEP, SYMBOLS, bootstrap_champions, make_markets, store_candles

    call_command("migrate", verbosity=0)
    stored_ms = clock.wall_ms() // STEP * STEP
    markets = make_markets(until=stored_ms)
    bootstrap_champions(SYMBOLS)
    services.advance()
    print("ready", flush=True)
    while True:
        time.sleep(1)
        if clock.wall_ms() - stored_ms >= STEP:
            for market in markets:
                store_candles(market, stored_ms, 1)
            stored_ms += STEP
            services.advance()


def workers_of(server: subprocess.Popen) -> set[int]:
    """Process ids of the current workers of a server."""
    children = psutil.Process(server.pid).children()
    return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}


class Connections(threading.Thread):
    """Thread that samples the client connections of a server until stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.counts, self.names = url, [], Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as server:
            while not self.stopping.wait(SAMPLE_SECONDS):
                found = Counter(
                    name
                    for (name,) in server.execute(
                        "SELECT application_name FROM pg_stat_activity"
                        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                    )
                )
                self.counts.append(found.total())
                self.names |= found


async def call(port: int, callers: int, seconds: float) -> tuple[Counter[str], Counter[str], list[float]]:
    """Send requests until the time is over: statuses, failures by request, seconds per response."""
    statuses: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    waits: list[float] = []
    until = time.monotonic() + seconds

    async def caller(number: int, session: aiohttp.ClientSession) -> None:
        count = number
        while time.monotonic() < until:
            method, path, body = REQUESTS[count % len(REQUESTS)]
            count += 1
            started = time.monotonic()
            try:
                async with session.request(method, f"http://127.0.0.1:{port}{path}", json=body) as response:
                    content = await response.read()
                    status = str(response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                status, content = type(error).__name__, b""
            waits.append(time.monotonic() - started)
            statuses[status] += 1
            if status != "200":
                failed[f"{status} {method} {path} {content[:120].decode(errors='replace')}"] += 1

    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=limits, headers={"X-API-Key": KEY}, timeout=aiohttp.ClientTimeout(total=60)
    ) as session:
        await asyncio.gather(*(caller(number, session) for number in range(callers)))
    return statuses, failed, waits


def spread(counts: list[int]) -> dict[str, float]:
    return {"min": min(counts), "median": statistics.median(counts), "max": max(counts)}


def measure(callers: int, workers: int, seconds: float, rest: float) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres = Postgres(folder)
        server = postgres.start()
        redis, redis_url = processes.start_redis(folder)
        port = processes.free_port()
        environment = dict(os.environ) | {
            "DATABASE_URL": postgres.url, "REDIS_URL": redis_url, "RATE_LIMIT": "0", "API_KEY": KEY,
            "SECRET_KEY": KEY, "API_KEY_PEPPER": KEY, "LOG_LEVEL": "WARNING", "MODEL_MAX_AGE_DAYS": "100000",
            "MLENGINE_STATE_DIR": name, "MODEL_PATH": str(folder / "models"), "MLENGINE_ENV_FILE": "",
            "BINANCE_API_URL": "http://127.0.0.1:1", "DJANGO_SETTINGS_MODULE": "mlengine_project.settings",
        }  # fmt: skip
        engine = processes.Processes(folder, environment)
        try:
            engine.start(
                "feed", sys.executable, "-W", "ignore", "-c", "from benchmarks.connections import feed; feed()"
            )
            processes.wait_until(
                lambda: "ready" in (folder / "feed.log").read_text(), 180, f"candles and champions\n{engine.logs()}"
            )
            begun = time.monotonic()
            server_process = engine.start("web", *processes.web_words(port, workers))
            processes.wait_until(lambda: len(workers_of(server_process)) == workers, 60, "the workers begin")
            begun_workers = workers_of(server_process)
            processes.wait_until(lambda: processes.answers(port), 180, f"the web processes answer\n{engine.logs()}")
            started = time.monotonic() - begun
            connections = Connections(postgres.url)
            connections.start()
            statuses, failed, waits = asyncio.run(call(port, callers, seconds))
            loaded = list(connections.counts)
            time.sleep(rest)
            connections.stopping.set()
            connections.join()
            ended = len(begun_workers - workers_of(server_process))
        finally:
            engine.stop()
            redis.terminate()
            redis.wait()
            server.send_signal(signal.SIGINT)
            server.wait()
    waits.sort()
    return {
        "callers": callers, "workers": workers, "seconds": seconds,
        "statuses": dict(statuses), "not_200": dict(failed.most_common(10)),
        "requests_per_second": round(len(waits) / seconds, 1),
        "answer_ms": {q: round(1000 * waits[int(len(waits) * p)], 1) for q, p in (("p50", 0.5), ("p99", 0.99))},
        "connections": spread(loaded), "connections_after_rest": connections.counts[-1],
        "most_by_process_kind": dict(connections.names),
        "workers_ended_by_the_server": ended, "seconds_to_first_answer": round(started, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rest", type=float, default=30.0)
    options = parser.parse_args()
    print(json.dumps(measure(options.callers, options.workers, options.seconds, options.rest)))


if __name__ == "__main__":
    main()
