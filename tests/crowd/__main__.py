"""Load test with many live markets: completeness of stored candles, delays and resource use.

    uv run python -m tests.crowd --markets 500 --speed 12 --minutes 60 --json

A PostgreSQL created by initdb on a free port, a Redis, and stream, worker and beat of the engine as real processes
(without models: signals are refusals) follow a simulated exchange, which runs in this process. Each market starts
with the history the live path needs, imported as files. `--minutes` are market time. Afterwards the exchange's ledger
is compared with the database. Weight is counted by the exchange; the last line is one JSON object; the exit status
is 1 if anything is lost, doubled or wrong, or half of the limit was reached.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from marketdata.intervals import floor_open
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.engine import Engine
from tests.chaos.ledger import Comparison, compare
from tests.crowd.cost import Cost
from tests.flows import processes

STEP = 300_000
HISTORY = 5_050
"""Candles of history per market: slightly more than the window the feed repairs."""
RECOVERY_SECONDS = 180.0


def import_history(engine: Engine, exchange: SimulatedExchange, folder: Path) -> None:
    """Import the history of every market with the command `import_candles`."""
    folder.mkdir()
    until = floor_open(exchange.now_ms())
    for symbol in exchange.symbols:
        klines = exchange.source.klines(symbol, until - HISTORY * STEP, until)
        columns = dict(zip(klines._fields, map(np.asarray, klines), strict=True))
        pq.write_table(pa.table(columns), folder / f"{symbol}-5m.parquet")
    words = [sys.executable, "manage.py", "import_candles", str(folder), "--source", "simulated"]
    subprocess.run(words, cwd=processes.ROOT, env=engine.environment, check=True, stdout=subprocess.DEVNULL)


def settle(engine: Engine, exchange: SimulatedExchange) -> tuple[Comparison, float]:
    """Wait until all closed candles have signals; return the comparison and the seconds it took."""
    begun = time.monotonic()
    last = {symbol: max(exchange.ledger.final(symbol)) for symbol in exchange.symbols}
    while True:
        found = compare(engine.postgres.url, exchange, last)
        seconds = time.monotonic() - begun
        if found.is_complete or seconds > RECOVERY_SECONDS:
            return found, seconds
        engine.watch(2.0)


def stored_after(engine: Engine, exchange: SimulatedExchange, since: int) -> dict:
    """Wall seconds from a close to its commit, and counts of candles by origin."""
    closed = {(e.symbol, e.open_time): e.wall_ms for e in exchange.ledger if e.event == "closed"}
    query = (
        "SELECT symbol, open_time, extract(epoch FROM received_at) * 1000, origin FROM candles "
        "JOIN markets ON markets.id = market_id WHERE open_time >= %s"
    )
    with psycopg.connect(engine.postgres.url, options="-c search_path=ml") as connection:
        rows = connection.execute(query, [since]).fetchall()
    delays = [
        float(at) / 1000 - closed[symbol, opened] / 1000 for symbol, opened, at, _ in rows if (symbol, opened) in closed
    ]
    cuts = statistics.quantiles(delays, n=100) if len(delays) > 1 else [0.0] * 99
    by_origin = {origin: sum(row[3] == origin for row in rows) for origin in ("stream", "rest")}
    return {
        "seconds_to_store_p50": round(cuts[49], 2),
        "seconds_to_store_p99": round(cuts[98], 2),
        "came_by": by_origin,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--speed", type=float, default=12.0)
    parser.add_argument("--minutes", type=float, default=60.0, help="of market time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = CandleGenerator(tuple(f"M{number:03}USDT" for number in range(options.markets)), options.seed)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        SimulatedExchange(source=source, seed=options.seed, speed=options.speed) as exchange,
    ):
        folder = Path(name)
        engine = Engine(folder, exchange)
        import_history(engine, exchange, folder / "history")
        print("history imported", file=sys.stderr)
        with engine:
            engine.wait_for_first_candle(600)
            print("every market has signals", file=sys.stderr)
            begun, since = time.monotonic(), floor_open(exchange.now_ms()) + STEP
            exchange.meter.highest_used, requests_before = 0, exchange.rest.requests
            with Cost(engine.roots() | {"simulator and this": os.getpid()}) as cost:
                engine.watch(options.minutes * 60 / options.speed)
            elapsed = time.monotonic() - begun
            requests, highest = exchange.rest.requests - requests_before, exchange.meter.highest_used
            found, recovery = settle(engine, exchange)
            delays = stored_after(engine, exchange, since)
            if not found.is_complete:
                print(engine.logs(), file=sys.stderr)
    limit = exchange.limits.weight_per_minute
    result = {
        "markets": options.markets,
        "market_minutes": round(elapsed * options.speed / 60, 1),
        "speed": options.speed,
        **found.counts(),
        "settled_after_seconds": round(recovery, 1),
        **delays,
        "requests": requests,
        "highest_weight_a_minute": highest,
        "weight_limit": limit,
        "refused_requests": exchange.meter.refused,
        "ended_by_themselves": dict(engine.ended),
        "cost": cost.figures(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))
    return 0 if found.is_complete and highest < limit / 2 else 1


if __name__ == "__main__":
    sys.exit(main())
