"""Benchmark of a close: from the closed frame entering the stream process to the message at websocket clients.

    uv run python -m benchmarks.candle_to_signal --json [--rounds 10] [--markets 500]

A PostgreSQL created by initdb on a free port, a Redis, and the stream process and one web process of the engine (web
command of the Dockerfile) follow a simulated exchange: first two markets, then `--markets`. The exchange and the
clients, one for each market, run in this process. Champions are the tiny ones of the tests, so the forecast counts
features and the path around the models rather than large trees; every measured candle must have its predictions.

A round begins with the first closed frame of a candle and ends when the last client has its message. Both processes
are started by this module, which makes them write the time at the ends of stages. The last line is one JSON object of
medians: `two_markets_ms`, `five_hundred_markets_last_ms`, and `stages`, the milliseconds of each. `stream_processor` is
the processor time of the stream process up to its commit, which other work on the machine disturbs less.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from pkgutil import resolve_name

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

import psycopg

from benchmarks.websocket_clients import ClientGroup
from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.engine import Engine
from tests.crowd.__main__ import import_history
from tests.flows import processes

HORIZONS, WAIT_SECONDS = 4, 600.0
BOOTSTRAP = """
from django.conf import settings
from marketdata.exchange.rest import RestSession
from marketdata.models import Candle
from tests.champions import bootstrap_champions
bootstrap_champions(settings.SUPPORTED_SYMBOLS)
with RestSession() as session:
    since = session.read_clock().market_ms - 2 * 86_400_000
Candle.objects.filter(open_time__gte=since).update(origin=Candle.Origin.REST)
"""
"""Champions, and a newest day that counts as confirmed: else the feed first fetches it again, market by market."""
LAG_MS = 86_400_000
"""Market time begins a day ago: files may not contain candles of the future."""
SPEED, SPEED_OF_MANY = 30.0, 10.0
"""Market seconds per second; at high speed a slow round of many markets counts as a late close."""
STAGES = {
    "received": ("marketdata.feed.inbox:Inbox", "put_closed"),
    "collected": ("marketdata.feed.supervisor:Supervisor", "_deliver"),
    "stored": ("signals.services", "_sync"),
    "forecast": ("signals.services", "draft"),
    "decided": ("signals.services", "draft"),
    "recorded": ("signals.delivery.publisher", "publish"),
    "published": ("signals.delivery.announcements:Announcer", "announce"),
    "hub": ("signals.delivery.hub", "_offer"),
}
"""The function whose last call ends a stage, at the begin of the call except for `AT_RETURN`."""
AT_RETURN = {"stored", "decided", "published"}


def stamp(owner: object, function: str, name: str) -> None:
    """Make a function write the time of each call."""
    original: Callable = getattr(owner, function)

    @wraps(original)
    def stamped(*arguments, **named):
        at = time.perf_counter(), time.process_time()
        try:
            return original(*arguments, **named)
        finally:
            at = (time.perf_counter(), time.process_time()) if name in AT_RETURN else at
            os.write(1, f"stamp {name} {at[0]} {at[1]}\n".encode())

    setattr(owner, function, stamped)


def run() -> None:
    """Run a process of the engine with stamps; the arguments are its command."""
    import django
    import uvicorn
    from django.core.management import call_command

    django.setup()
    for name, (owner, function) in STAGES.items():
        stamp(resolve_name(owner), function, name)
    del sys.argv[0]
    uvicorn.main() if sys.argv[0] == "uvicorn" else call_command(*sys.argv[1:])


Stamp = tuple[float, float]
"""A time, and the processor time of its process."""


def stamps(folder: Path, since: float, until: float) -> dict[str, list[Stamp]]:
    """Stamps written in a span, by name."""
    found: dict[str, list[Stamp]] = {}
    for log in ("stream", "web"):
        for line in (folder / f"{log}.log").read_text().splitlines():
            if line.startswith("stamp "):
                _, name, at, processor = line.split()
                if since <= float(at) <= until:
                    found.setdefault(name, []).append((float(at), float(processor)))
    return found


def stages_ms(found: dict[str, list[Stamp]], last_at: float) -> dict[str, float]:
    """Milliseconds of each stage of a round and of all, and of processor time of the stream process."""
    begun = first, _ = min(found["received"])
    at, spent = first, {}
    for stage in STAGES:
        end = max([at, *(one for one, _ in found.get(stage, []))])  # none where the hub's own reading overtook it
        spent[stage], at = 1000 * (end - at), end
    processor = 1000 * (min(found["recorded"])[1] - begun[1])
    return spent | {"client": 1000 * (last_at - at), "total": 1000 * (last_at - first), "stream_processor": processor}


async def follow(engine: Engine, exchange: SimulatedExchange, rounds: int) -> list[dict[str, float]]:
    """Stages of so many rounds."""
    group = ClientGroup(engine.environment["API_KEY"])
    await group.connect(engine.port, "/ws/signals", [[symbol] for symbol in exchange.symbols])
    found = []
    while len(found) < rounds:
        left = exchange.clock.wall_seconds_until(exchange.venue.next_close_ms)
        if left < 1:  # too near to begin
            await asyncio.sleep(left + 2)
            continue
        await asyncio.sleep(left - 1)
        group.expect()
        since = time.perf_counter()
        await asyncio.wait_for(group.complete.wait(), WAIT_SECONDS)
        await asyncio.sleep(0.5)
        found.append(stages_ms(stamps(engine.folder, since, group.last_at), group.last_at))
        print(json.dumps({name: round(ms, 1) for name, ms in found[-1].items()}), file=sys.stderr)
    group.close()
    return found


def check_predictions(engine: Engine, exchange: SimulatedExchange, rounds: int) -> None:
    """End unless every candle of the measured rounds has its predictions: a refusal costs less."""
    last = exchange.venue.next_close_ms - 2 * INTERVAL_MS
    begun = clock.to_datetime(last - (rounds - 1) * INTERVAL_MS)
    query = "SELECT count(*) FROM ml.prediction_logs WHERE candle_time BETWEEN %s AND %s"
    with psycopg.connect(engine.postgres.url) as connection:
        count = connection.execute(query, [begun, clock.to_datetime(last)]).fetchone()[0]
    if count != rounds * HORIZONS * len(exchange.symbols):
        raise SystemExit(f"{count} predictions were written in {rounds} rounds of {len(exchange.symbols)} markets")


def measure(markets: int, speed: float, rounds: int) -> dict[str, float]:
    """Median milliseconds of the stages of a close."""
    begin_at = clock.wall_ms() - LAG_MS
    source = CandleGenerator(tuple(f"M{number:03}USDT" for number in range(markets)), seed=1)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        SimulatedExchange(source=source, speed=speed, begin_at=begin_at) as exchange,
        ExitStack() as stack,
    ):
        folder = Path(name)
        engine = Engine(folder, exchange)
        stack.push(engine)  # it is stopped even if preparing it fails
        begin = [sys.executable, "-c", "from benchmarks.candle_to_signal import run; run()"]
        commands = {"stream": processes.stream_words()[1:], "web": processes.web_words(engine.port)[2:]}
        engine.commands = {name: [*begin, *command] for name, command in commands.items()}
        import_history(engine, exchange, folder / "history")
        words = [sys.executable, "manage.py", "shell", "-v0", "-c", BOOTSTRAP]
        subprocess.run(words, cwd=processes.ROOT, env=os.environ | engine.environment, check=True, stdout=sys.stderr)
        for command in engine.commands:
            engine.start(command)
        engine.wait_for_first_candle(WAIT_SECONDS)
        processes.wait_until(lambda: processes.answers(engine.port), WAIT_SECONDS, "the web process answers")
        found = asyncio.run(follow(engine, exchange, rounds))
        check_predictions(engine, exchange, rounds)
    return {name: round(statistics.median(one[name] for one in found), 1) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--markets", type=int, default=500)
    options = parser.parse_args()
    os.environ |= {"MODEL_MAX_AGE_DAYS": "100000", "LOG_LEVEL": "WARNING"}
    two = measure(2, SPEED, options.rounds)
    many = measure(options.markets, SPEED_OF_MANY, options.rounds)
    result = {
        "two_markets_ms": two.pop("total"), "five_hundred_markets_last_ms": many.pop("total"), "rounds": options.rounds,
        "markets": options.markets, "stages": {"two_markets": two, "five_hundred_markets": many},
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
