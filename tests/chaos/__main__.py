"""Chaos test: kills processes and services at random times and compares ledger, log and clients.

    uv run python -m tests.chaos --kills 120 --json [--parts web worker beat stream redis postgres]
                                 [--seed 1] [--speed 40] [--symbols 5]

Everything is private: a PostgreSQL created by initdb on a free port, a Redis, a simulated exchange with a ledger,
and real processes of the engine. Half of the kills (SIGKILL) are within two seconds of a close, and every part
is killed equally often. Parts that were killed or ended by themselves are restarted after a short time, as compose
does (`restart: unless-stopped`); a web worker is restarted by its server. Meanwhile two websocket clients subscribe to
all markets and resume with `after` whenever they are disconnected, and two REST clients read. The last line is one
JSON object; the exit status is 1 if anything is lost, doubled, out of order, wrong, or not back in time.
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
from collections import Counter
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

import psycopg

from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.clients import ACCEPTED, RestClient, ResumingClient, gaps
from tests.chaos.engine import Engine
from tests.chaos.ledger import Comparison, compare
from tests.flows import processes

STEP = 300_000
NEAR_SECONDS = 2.0
RECOVERY_SECONDS = 120.0
PARTS = ("web", "worker", "beat", "stream", "redis", "postgres")
LONGEST_DOWN_SECONDS = 3.0
BACK_SECONDS = 90.0


def seconds_to_next_kill(exchange: SimulatedExchange, speed: float, rng: random.Random, *, near: bool) -> float:
    """Seconds from now until the next kill."""
    candle = STEP / speed / 1000
    until_close = (STEP - exchange.now_ms() % STEP) / speed / 1000
    if not near:
        return rng.uniform(0.5, candle)
    shift = rng.uniform(-NEAR_SECONDS, NEAR_SECONDS)
    return until_close + shift if until_close + shift > 0.5 else until_close + candle + shift


def run_kills(engine: Engine, exchange: SimulatedExchange, options: argparse.Namespace, rng: random.Random) -> dict:
    """Kill and restart parts; return counts by part, kills near a close and recovery times."""
    rounds = -(-options.kills // len(options.parts))
    turns = [part for _ in range(rounds) for part in rng.sample(options.parts, len(options.parts))]
    near_close, downtimes = 0, {part: [] for part in options.parts}
    for number, part in enumerate(turns[: options.kills]):
        wait = seconds_to_next_kill(exchange, options.speed, rng, near=bool(number % 2))
        engine.watch(wait)
        distance = exchange.now_ms() % STEP / options.speed / 1000
        near_close += min(distance, STEP / options.speed / 1000 - distance) <= NEAR_SECONDS
        killed_at, begun = time.time(), time.monotonic()
        engine.kill(part)
        engine.watch(rng.uniform(0.0, LONGEST_DOWN_SECONDS), leave=part)
        engine.start(part)
        while not engine.is_back(part, killed_at) and time.monotonic() - begun < BACK_SECONDS:
            engine.watch(0.25)
        downtimes[part].append(time.monotonic() - begun)
        words = f"{part} killed {distance:.1f} s after a close, back after {downtimes[part][-1]:.1f} s"
        print(f"{number + 1} of {options.kills}: {words}", file=sys.stderr)
    return {
        "killed": {part: len(seconds) for part, seconds in downtimes.items()},
        "near_close": near_close,
        "ended_by_themselves": dict(engine.ended),
        "seconds_to_recover": {
            part: {"median": round(statistics.median(seconds), 1), "max": round(max(seconds), 1)}
            for part, seconds in downtimes.items()
            if seconds
        },
        "not_back": sum(second >= BACK_SECONDS for seconds in downtimes.values() for second in seconds),
    }


class Clients:
    """Two websocket and two REST clients, whose signals are compared with the log."""

    def __init__(self, engine: Engine, symbols: tuple[str, ...]) -> None:
        key = engine.environment["API_KEY"]
        processes.wait_until(lambda: processes.answers(engine.port), RECOVERY_SECONDS, "the web server answers")
        self.engine = engine
        self.resuming = [ResumingClient(engine.port, key, symbols) for _ in range(2)]
        self.calling = [RestClient(engine.port, key, symbols) for _ in range(2)]
        for client in [*self.resuming, *self.calling]:
            client.start()

    def compare(self) -> dict:
        """Lost, doubled and out-of-order signals by client, after waiting for delivery."""
        until = time.monotonic() + RECOVERY_SECONDS
        while (found := self._found()) and self._lost(found) and time.monotonic() < until:
            self.engine.watch(1.0)
        for client in [*self.resuming, *self.calling]:
            client.stopping.set()
        statuses = sum((client.statuses for client in self.calling), Counter())
        return {
            "clients": found,
            "connections": [client.connections for client in self.resuming],
            "client_faults": [fault for client in self.resuming for fault in client.faults][:20],
            "different_ids": self.resuming[0].ids != self.resuming[1].ids,
            "rest_statuses": {str(status): count for status, count in sorted(statuses.items())},
            "unexpected_statuses": sum(count for status, count in statuses.items() if status not in {0, *ACCEPTED}),
        }

    def _found(self) -> dict:
        with psycopg.connect(self.engine.postgres.url) as connection:
            heads = dict(connection.execute("SELECT symbol, max(seq) FROM ml.signal_logs GROUP BY symbol").fetchall())
        clients = {f"websocket {n}": client for n, client in enumerate(self.resuming, 1)}
        clients |= {f"rest {n}": client for n, client in enumerate(self.calling, 1)}
        return {name: gaps(client.received, heads) for name, client in clients.items()}

    @staticmethod
    def _lost(found: dict) -> int:
        return sum(counts["lost"] for counts in found.values())


def is_right(kills: dict, by_client: dict) -> bool:
    """Whether every part recovered and every client received each signal once and in order."""
    faulty = any(any(counts.values()) for counts in by_client["clients"].values())
    return not (
        faulty
        or by_client["client_faults"]
        or by_client["different_ids"]
        or by_client["unexpected_statuses"]
        or kills["not_back"]
    )


def settle(engine: Engine, exchange: SimulatedExchange) -> tuple[Comparison, float]:
    """Wait until all closed candles are stored; return the comparison and the seconds it took."""
    begun = time.monotonic()
    last = {symbol: max(exchange.ledger.final(symbol)) for symbol in exchange.symbols}
    while True:
        engine.watch(1.0)
        found = compare(engine.postgres.url, exchange, last)
        seconds = time.monotonic() - begun
        if found.is_complete or seconds > RECOVERY_SECONDS:
            return found, seconds


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that started processes are stopped
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="Parts to kill.")
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--symbols", type=int, default=5)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    symbols = tuple(f"C{number:02}USDT" for number in range(options.symbols))
    source = CandleGenerator(symbols, options.seed)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        SimulatedExchange(source=source, seed=options.seed, speed=options.speed) as exchange,
        Engine(Path(folder), exchange, web=True) as engine,
    ):
        engine.wait_for_first_candle()
        clients = Clients(engine, symbols)
        kills = run_kills(engine, exchange, options, rng)
        found, recovery = settle(engine, exchange)
        by_client = clients.compare()
        is_complete = found.is_complete and is_right(kills, by_client)
        if not is_complete:
            print(engine.logs(), file=sys.stderr)
    result = {
        "kills": options.kills,
        **kills,
        **found.counts(),
        **by_client,
        "recovery_seconds": round(recovery, 1),
        "seconds": round(time.monotonic() - begun),
        "speed": options.speed,
        "seed": options.seed,
    }
    print(json.dumps(result))
    return 0 if is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
