"""Benchmark of endurance: memory, connections, threads and file descriptors over hours of market time.

    uv run python -m benchmarks.endurance --hours 4 --speed 60 --json [--symbols 10] [--every 2] [--seed 1]
    uv run python -m benchmarks.endurance --hours 10 --speed 10 --sockets 200 --callers 16 --json

Starts a small private deployment (PostgreSQL, Redis, a simulated exchange, web, worker, beat and stream, as
`tests.chaos` does, with the tiny champions of the tests), with two websocket clients and two callers of REST, without
faults, and samples each process tree. `--sockets` adds websocket clients. `--callers` adds callers of predictions,
signals, candles, indicators and status, at half of the requests per second that the same callers reach at the start.
The first quarter is left out as warm-up. Slopes are least squares by hour of wall time; `growth` is the slope times the
measured time, as a share of the mean. The last line is one JSON object; the exit status is 1 where something grows by
more than a tenth, a request of `--callers` fails, or a client did not receive every signal once and in order.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

import numpy as np
import psutil
import psycopg

from benchmarks.candle_to_signal import BOOTSTRAP, LAG_MS
from benchmarks.load import Call, Load, run
from benchmarks.websocket_clients import ClientGroup
from marketdata import clock
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.__main__ import Clients, settle
from tests.chaos.engine import Engine
from tests.crowd.__main__ import import_history
from tests.flows import processes

MIB = 2**20
GROWTH = 0.1
SMALLEST = {"rss_mib": 8.0, "threads": 3.0, "descriptors": 6.0, "connections": 3.0}
"""Growth below this is ignored, however small the mean is."""
WARM_UP = 0.25
SECONDS_OF_MOST = 10.0
"""Time in which the most requests per second are measured."""


def sample(engine: Engine) -> dict[str, dict[str, float]]:
    """One sample of every process tree and of the connections of PostgreSQL."""
    sampled: dict[str, dict[str, float]] = {}
    for name, root in engine.roots().items():
        tree = [psutil.Process(root)]
        tree += tree[0].children(recursive=True)
        sums = {"rss_mib": 0.0, "threads": 0.0, "descriptors": 0.0}
        for process in tree:
            try:
                with process.oneshot():
                    sums["rss_mib"] += process.memory_info().rss / MIB
                    sums["threads"] += process.num_threads()
                    sums["descriptors"] += process.num_fds()
            except psutil.Error:
                continue  # a child that has just ended
        sampled[name] = sums
    with psycopg.connect(engine.postgres.url) as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        row = connection.execute(query).fetchone()
        sampled["postgres"]["connections"] = float(row[0]) if row else 0.0
    return sampled


def summary(times: list[float], values: list[float], floor: float) -> dict[str, float | bool]:
    """First, last, maximum, hourly slope and growth of one series; `flat` if growth is small."""
    slope = float(np.polyfit(times, values, 1)[0]) if len(times) > 1 else 0.0
    added, mean = slope * (times[-1] - times[0]), statistics.fmean(values)
    return {
        "first": round(values[0], 1),
        "last": round(values[-1], 1),
        "most": round(max(values), 1),
        "slope_per_hour": round(slope * 3600, 3),
        "growth": round(added / mean, 4) if mean else 0.0,
        "flat": added <= max(floor, GROWTH * mean),
    }


def prepare(engine: Engine, exchange: SimulatedExchange, folder: Path) -> None:
    """Give every market a history, and the engine its champions."""
    import_history(engine, exchange, folder / "history")
    words = [sys.executable, "manage.py", "shell", "-v0", "-c", BOOTSTRAP]
    subprocess.run(words, cwd=processes.ROOT, env=os.environ | engine.environment, check=True, stdout=sys.stderr)


def calls_of(key: str, symbols: tuple[str, ...]) -> list[Call]:
    """The requests of a dashboard of these markets, in turns."""
    with_key = {"X-API-Key": key}
    asking = {**with_key, "Content-Type": "application/json"}
    calls = []
    for symbol in symbols:
        calls += [
            Call("POST", "/predictions", json.dumps({"symbol": symbol, "horizon": horizon}), asking)
            for horizon in (6, 18, 36, 72)
        ]
        calls += [
            Call("GET", f"/signals?symbol={symbol}&limit=20", headers=with_key),
            Call("GET", f"/candles?symbol={symbol}&limit=288", headers=with_key),
            Call("GET", f"/indicators?symbol={symbol}&limit=100", headers=with_key),
            Call("GET", "/models/status", headers=with_key),
        ]
    return calls


def call_at_half(
    engine: Engine, symbols: tuple[str, ...], callers: int, seconds: float, stopping: threading.Event
) -> Load:
    """Requests at half the pace these callers reach, for some seconds."""
    calls = calls_of(engine.environment["API_KEY"], symbols)
    most = run(engine.port, calls, callers, SECONDS_OF_MOST)
    print(f"at most {most.per_second} requests per second", file=sys.stderr)
    return run(engine.port, calls, callers, seconds - SECONDS_OF_MOST, most.per_second / 2, stopping)


async def listen(engine: Engine, symbols: tuple[str, ...], sockets: int, stopping: threading.Event) -> dict[str, int]:
    """Follow all markets over so many websockets until stopped."""
    group = ClientGroup(engine.environment["API_KEY"])
    await group.connect(engine.port, "/ws/signals", [list(symbols)] * sockets)
    await asyncio.to_thread(stopping.wait)
    found = {name: sum(getattr(client, name) for client in group.clients) for name in ("received", "lost")}
    found["open"] = group.count_open()
    group.close()
    return found


def measure(options: argparse.Namespace) -> dict:
    """Run the engine for the given time and summarise every series."""
    random.seed(options.seed)
    symbols = tuple(f"C{number:02}USDT" for number in range(options.symbols))
    source = CandleGenerator(symbols, options.seed)
    begin_at = clock.wall_ms() - LAG_MS
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        SimulatedExchange(source=source, seed=options.seed, speed=options.speed, begin_at=begin_at) as exchange,
        ThreadPoolExecutor(2) as threads,
        ExitStack() as stack,
    ):
        stopping = threading.Event()
        stack.callback(stopping.set)  # ends the threads also where this process is stopped
        engine = Engine(Path(folder), exchange, web=True)
        stack.push(engine)  # it is stopped even if preparing it fails
        prepare(engine, exchange, Path(folder))
        for command in engine.commands:
            engine.start(command)
        engine.wait_for_first_candle()
        clients = Clients(engine, symbols)
        started, samples, times = time.monotonic(), [], []
        seconds = options.hours * 3600 / options.speed
        listening = calling = None
        if options.sockets:
            listening = threads.submit(lambda: asyncio.run(listen(engine, symbols, options.sockets, stopping)))
        if options.callers:
            calling = threads.submit(call_at_half, engine, symbols, options.callers, seconds, stopping)
        while (passed := time.monotonic() - started) < seconds:
            samples.append(sample(engine))
            times.append(passed)
            engine.watch(options.every)
            print(f"{passed / seconds:4.0%}  {samples[-1]}", file=sys.stderr)
        stopping.set()
        load = {
            "calls": asdict(calling.result()) if calling else None,
            "sockets": listening.result() if listening else None,
        }
        found, _ = settle(engine, exchange)
        seen = clients.compare()
        ended = dict(engine.ended)
    kept = [number for number, at in enumerate(times) if at >= WARM_UP * seconds]
    series = {
        part: {
            name: summary([times[n] for n in kept], [samples[n][part][name] for n in kept], SMALLEST[name])
            for name in samples[0][part]
        }
        for part in samples[0]
    }
    return {
        "hours": options.hours,
        "speed": options.speed,
        "symbols": options.symbols,
        "samples": len(kept),
        "series": series,
        "grows": [f"{part} {name}" for part, names in series.items() for name, row in names.items() if not row["flat"]],
        "ended_by_themselves": ended,
        **load,
        **found.counts(),
        **seen,
    }


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the started processes are stopped
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--hours", type=float, default=4.0, help="Hours of market time.")
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--every", type=float, default=2.0, help="Seconds between two samples.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sockets", type=int, default=0, help="Further websocket clients, each of all markets.")
    parser.add_argument("--callers", type=int, default=0, help="Further callers, at half of the pace they reach.")
    options = parser.parse_args()
    os.environ["MODEL_MAX_AGE_DAYS"] = "100000"  # the champions of the tests are of one date
    result = measure(options)
    print(json.dumps(result))
    faulty = any(any(counts.values()) for counts in result["clients"].values())
    failed = (result["calls"] or {}).get("failed", 0)
    sockets = result["sockets"] or {"lost": 0, "open": options.sockets}
    missing = sockets["lost"] or sockets["open"] < options.sockets
    return int(
        bool(result["grows"] or result["ended_by_themselves"] or faulty or result["unexpected_statuses"] or failed)
        or bool(missing)
    )


if __name__ == "__main__":
    sys.exit(main())
