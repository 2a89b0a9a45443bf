"""Candle storage on PostgreSQL compared with Django's ORM: import, re-import, newest candles, training reads.

    uv run python -m benchmarks.ingest --json [--rows 30000] [--markets 500] [--rounds 5] [--database URL]

Works in a database of its own, created on the server of ``--database`` (by default DATABASE_URL, else
postgres://postgres@127.0.0.1:5432/postgres) and dropped afterwards; candles are invented. Both sides of a
ratio write the same rows into the same table under the same constraints, each in one transaction with its commit,
in alternating order. Short work is repeated several times a round, where one commit waiting for a busy disk, or one
lost time slice, is as long as the work itself. Each line has medians and, in brackets, quartiles. The last line is
one JSON object of ratios of medians, above 1 where this engine is faster.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg

BEGIN = 1_640_995_200_000
STEP = 300_000
YEAR = 105_120
SYMBOL = "BTCUSDT"
SIDES = ("ours", "django")
SHORT_WORK = 8
"""Repetitions of short work in a round."""
SERVER = "postgres://postgres@127.0.0.1:5432/postgres"


def measure(rows: int, n_markets: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every round, by ratio and by side."""
    from marketdata.files import importing
    from marketdata.models import Market

    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, year = Path(folder) / f"{SYMBOL}-5m.parquet", Path(folder) / f"{SYMBOL}-5m-year.parquet"
        candles = invent(path, rows)
        invent(year, YEAR)
        long = importing.import_file(year, "simulated").market
        markets = Market.objects.bulk_create(
            Market(symbol=f"C{i:03}USDT", source="simulated", enabled=False) for i in range(n_markets)
        )
        plan = (
            ("import_vs_bulk_create", 1, lambda turn, _order: import_sides(path, candles, turn)),
            ("reimport_vs_bulk_create", 1, lambda turn, _order: import_sides(path, candles, turn)),
            ("newest_500_vs_bulk_update", SHORT_WORK, lambda turn, order: newest_sides(markets, candles, turn, order)),
            ("training_read_vs_values_list", 1, lambda _turn, _order: reading_sides(long)),
        )
        gc.collect()
        gc.freeze()  # the rows made here belong to neither side's measurement
        for number in range(rounds):
            for name, times, sides_of in plan:
                for turn in range(number * times, (number + 1) * times):
                    order = SIDES if turn % 2 else SIDES[::-1]
                    works = sides_of(turn, order)
                    for side in order:
                        begun = time.perf_counter()
                        works[side]()
                        seconds.setdefault(name, {}).setdefault(side, []).append(time.perf_counter() - begun)
            delete_imports(number)
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return seconds


def invent(path: Path, rows: int) -> list:
    """Write candles to a file; the same ones as exact rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from marketdata.files.tables import read_dump
    from marketdata.simulator.generator.candles import CandleGenerator

    klines = CandleGenerator((SYMBOL,), seed=1).klines(SYMBOL, BEGIN, BEGIN + rows * STEP)
    pq.write_table(pa.table(dict(zip(klines._fields, map(np.asarray, klines), strict=True))), path)
    table = read_dump(path)
    return [table.row(i) for i in range(len(table))]


def market(number: int, side: str):
    from marketdata.models import Market

    return Market.objects.get_or_create(symbol=f"R{number}{side}USDT", source="simulated", enabled=False)[0]


def import_sides(path: Path, candles: list, number: int) -> dict:
    """The complete import of a file, against objects made from rows in memory."""
    from marketdata.files import importing
    from marketdata.models import Candle

    ours, theirs = market(number, "A"), market(number, "B")

    def run_django() -> None:
        Candle.objects.bulk_create(
            (Candle(market=theirs, origin="import", **row._asdict()) for row in candles),
            ignore_conflicts=True,
            batch_size=1000,
        )

    return {
        "ours": lambda: importing.import_file(path, "simulated", ours.symbol),
        "django": run_django,
    }


def reading_sides(one) -> dict:
    """Five float columns of a year of one market, once the cache has seen it."""
    from marketdata.models import Candle
    from marketdata.storage import candles as store

    fields = ("open_time", "open", "high", "low", "close", "volume")

    def run_django() -> np.ndarray:
        kept = Candle.objects.filter(market=one).order_by("open_time").values_list(*fields)
        return np.array(list(kept), dtype=np.float64)

    grid = store.load_span([one], BEGIN, BEGIN + YEAR * STEP)
    assert np.array_equal(run_django()[:, 4], grid.close[0]), "both sides must read the same numbers"
    return {"ours": lambda: store.load_span([one], BEGIN, BEGIN + YEAR * STEP), "django": run_django}


def newest_sides(markets: list, candles: list, turn: int, order: tuple[str, ...]) -> dict:
    """One newer candle of every market, as in the live feed, in the order of this turn."""
    from marketdata.models import Candle
    from marketdata.storage import candles as store

    def at(step: int) -> list:
        return [candles[i % len(candles)]._replace(open_time=BEGIN + step * STEP) for i in range(len(markets))]

    ours = dict(zip(markets, ([row] for row in at(2 * turn + order.index("ours"))), strict=True))
    theirs = list(zip(markets, at(2 * turn + order.index("django")), strict=True))
    columns = ["open", "high", "low", "close", "volume"]

    def run_django() -> None:
        Candle.objects.bulk_create(
            [Candle(market=one, origin="stream", **row._asdict()) for one, row in theirs],
            update_conflicts=True,
            unique_fields=["market", "open_time"],
            update_fields=columns,
        )

    return {"ours": lambda: store.save_all(ours, "stream"), "django": run_django}


def delete_imports(number: int) -> None:
    """Delete the imports of a round, so that every round starts with the same table."""
    from django.db import connection

    from marketdata.models import Candle

    Candle.objects.filter(market__symbol__startswith=f"R{number}").delete()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE candles, candle_blocks")


def timing_text(side: str, seconds: list[float]) -> str:
    low, middle, high = (1000 * cut for cut in np.quantile(seconds, [0.25, 0.5, 0.75]))
    return f"{side} {middle:,.1f} ms ({low:,.1f} to {high:,.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    parser.add_argument("--rows", type=int, default=30_000, help="candles of the file that is imported")
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL") or SERVER)
    options = parser.parse_args()
    name = f"mle_ingest_{os.getpid()}"
    with psycopg.connect(options.database, autocommit=True) as server, tempfile.TemporaryDirectory() as state:
        server.execute(f"CREATE DATABASE {name}")
        os.environ["DATABASE_URL"] = urlunsplit(urlsplit(options.database)._replace(path=f"/{name}"))
        os.environ.pop("REDIS_URL", None)
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mlengine_project.settings", "MLENGINE_STATE_DIR": state}
        import django
        from django.core.management import call_command
        from django.db import connection

        try:
            django.setup()
            call_command("migrate", verbosity=0)
            seconds = measure(options.rows, options.markets, options.rounds)
        finally:
            connection.close()
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    medians = {key: {side: statistics.median(all_) for side, all_ in sides.items()} for key, sides in seconds.items()}
    for key, sides in seconds.items():
        print(f"{key}: {', '.join(timing_text(side, sides[side]) for side in SIDES)}")
    print(json.dumps({key: round(sides["django"] / sides["ours"], 2) for key, sides in medians.items()}))


if __name__ == "__main__":
    main()
