"""Stream, worker and PostgreSQL killed at random moments; afterwards the exchange's ledger is compared.

    uv run python -m tests.chaos --kills 60 --json [--seed 1] [--speed 20] [--symbols 5]

Everything is private: a PostgreSQL made by initdb on a free port, a Redis, a simulated exchange with a ledger,
and real processes of the engine. Half of the kills (SIGKILL) fall within two seconds of a close. What was
killed is started again after a moment, as a service manager would; nothing else is done by hand. The last line
is one JSON object; the exit status is 1 if anything is lost, doubled, wrong, or not recovered in time.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

from marketdata.simulator.invention import Invention
from marketdata.simulator.server import SimulatedExchange
from tests.chaos.engine import Engine
from tests.chaos.ledger import Comparison, compare

STEP = 300_000
NEAR_SECONDS = 2.0
RECOVERY_SECONDS = 120.0
TARGETS = ("stream", "worker", "postgres")


def close_to_kill_at(exchange: SimulatedExchange, speed: float, chance: random.Random, *, near: bool) -> float:
    """Seconds from now until the next kill."""
    candle = STEP / speed / 1000
    until_close = (STEP - exchange.now_ms() % STEP) / speed / 1000
    if not near:
        return chance.uniform(0.5, candle)
    shift = chance.uniform(-NEAR_SECONDS, NEAR_SECONDS)
    return until_close + shift if until_close + shift > 0.5 else until_close + candle + shift


def harass(engine: Engine, exchange: SimulatedExchange, kills: int, speed: float, chance: random.Random) -> dict:
    """Kill and restart until enough have died; how often whom, and how many near a close."""
    killed: Counter[str] = Counter()
    near_close = 0
    for number in range(kills):
        wait = close_to_kill_at(exchange, speed, chance, near=bool(number % 2))
        engine.watch(wait)
        distance = exchange.now_ms() % STEP / speed / 1000
        near_close += min(distance, STEP / speed / 1000 - distance) <= NEAR_SECONDS
        target = TARGETS[number % 3] if number < 3 else chance.choice(TARGETS)
        engine.kill(target)
        killed[target] += 1
        engine.watch(chance.uniform(0.0, 3.0), leave=target)
        engine.start(target)
        print(f"{number + 1} of {kills}: {target} killed {distance:.1f} s after a close", file=sys.stderr)
    return {"killed": dict(killed), "near_close": near_close, "ended_by_themselves": dict(engine.ended)}


def settle(engine: Engine, exchange: SimulatedExchange) -> tuple[Comparison, float]:
    """Wait until everything that was closed at the end of the kills is there; the verdict and the seconds it took."""
    begun = time.monotonic()
    last = {symbol: max(exchange.ledger.final(symbol)) for symbol in exchange.symbols}
    while True:
        engine.watch(1.0)
        found = compare(engine.postgres.url, exchange, last)
        seconds = time.monotonic() - begun
        if found.is_whole or seconds > RECOVERY_SECONDS:
            return found, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--symbols", type=int, default=5)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    symbols = tuple(f"C{number:02}USDT" for number in range(options.symbols))
    source = Invention(symbols, options.seed)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        SimulatedExchange(source=source, seed=options.seed, speed=options.speed) as exchange,
        Engine(Path(folder), exchange) as engine,
    ):
        engine.wait_for_first_candle()
        told = harass(engine, exchange, options.kills, options.speed, chance)
        found, recovery = settle(engine, exchange)
        if not found.is_whole:
            print(engine.said(), file=sys.stderr)
    result = {
        "kills": options.kills,
        **told,
        **found.counts(),
        "recovery_seconds": round(recovery, 1),
        "seconds": round(time.monotonic() - begun),
        "speed": options.speed,
        "seed": options.seed,
    }
    print(json.dumps(result))
    return 0 if found.is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
