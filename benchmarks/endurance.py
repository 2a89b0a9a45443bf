"""Benchmark of endurance: memory, connections, threads and file descriptors over hours of market time.

    uv run python -m benchmarks.endurance --hours 4 --speed 60 --json [--symbols 10] [--every 2] [--seed 1]

Starts a small private deployment (PostgreSQL, Redis, a simulated exchange, web, worker, beat and stream, as
`tests.chaos` does), with two websocket clients and two callers of REST, without faults, and samples each process
tree. The first quarter is left out as warm-up. Slopes are least squares by hour of wall time; `growth` is the
slope times the measured time, as a share of the mean. The last line is one JSON object; the exit status is 1
where something grows by more than a tenth, or a client did not receive every signal once and in order.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

import numpy as np
import psutil
import psycopg

from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.__main__ import Clients, settle
from tests.chaos.engine import Engine

MIB = 2**20
GROWTH = 0.1
SMALLEST = {"rss_mib": 8.0, "threads": 3.0, "descriptors": 6.0, "connections": 3.0}
"""Growth below this is ignored, however small the mean is."""
WARM_UP = 0.25


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


def measure(options: argparse.Namespace) -> dict:
    """Run the engine for the given time and summarise every series."""
    random.seed(options.seed)
    symbols = tuple(f"C{number:02}USDT" for number in range(options.symbols))
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        SimulatedExchange(
            source=CandleGenerator(symbols, options.seed), seed=options.seed, speed=options.speed
        ) as exchange,
        Engine(Path(folder), exchange, web=True) as engine,
    ):
        engine.wait_for_first_candle()
        clients = Clients(engine, symbols)
        started, samples, times = time.monotonic(), [], []
        seconds = options.hours * 3600 / options.speed
        while (passed := time.monotonic() - started) < seconds:
            samples.append(sample(engine))
            times.append(passed)
            engine.watch(options.every)
            print(f"{passed / seconds:4.0%}  {samples[-1]}", file=sys.stderr)
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
    result = measure(parser.parse_args())
    print(json.dumps(result))
    faulty = any(any(counts.values()) for counts in result["clients"].values())
    return int(bool(result["grows"] or result["ended_by_themselves"] or faulty or result["unexpected_statuses"]))


if __name__ == "__main__":
    sys.exit(main())
