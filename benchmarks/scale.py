"""Time and peak memory of a training by number of markets.

    uv run python -m benchmarks.scale [--markets 2 6 20 50] [--years 3] [--small] [--json]

Each size is trained in a process of its own. Up to six markets are real if the folder of candles exists
(MLENGINE_CANDLES), all others are invented. The last line is one JSON object with a row for every size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.candles import BEGIN, ROOT, STEP, YEAR
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import WARMUP

REAL = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "LTCUSDT")
HORIZONS = (6, 18, 36, 72)
COSTS = 0.0021
"""Of a round trip: fees and slippage."""


def real_candles(symbols: tuple[str, ...], candles: int) -> CandleGrid | None:
    """Newest candles of real markets on one time axis, or None where a file is missing."""
    folder = Path(os.environ.get("MLENGINE_CANDLES") or ROOT.parent / "shared" / "data")
    paths = [folder / f"{symbol}-5m.parquet" for symbol in symbols]
    if not all(path.exists() for path in paths):
        return None
    tables = [pq.read_table(path, columns=["open_time", *CANDLE_COLUMNS]) for path in paths]
    return _aligned([(one["open_time"].to_numpy(), one) for one in tables], candles)


def _aligned(tables: list, candles: int) -> CandleGrid:
    end = min(int(times[-1]) for times, _ in tables)
    axis = end - STEP * np.arange(candles)[::-1]
    columns = {name: np.full((len(tables), candles), np.nan) for name in CANDLE_COLUMNS}
    for row, (times, table) in enumerate(tables):
        place = (times - axis[0]) // STEP
        inside = (place >= 0) & (place < candles)
        for name in CANDLE_COLUMNS:
            columns[name][row, place[inside]] = table[name].to_numpy()[inside]
    return CandleGrid(axis, *(columns[name] for name in CANDLE_COLUMNS))


def invented_candles(markets: int, candles: int) -> CandleGrid:
    """Candles of the simulator, each market with a seed of its own name."""
    from marketdata.simulator.generator.candles import CandleGenerator

    names = tuple(f"M{number:02d}USDT" for number in range(markets))
    generator = CandleGenerator(names, seed=1)
    columns = {name: np.empty((markets, candles)) for name in CANDLE_COLUMNS}
    for row, symbol in enumerate(names):
        klines = generator.klines(symbol, BEGIN, BEGIN + candles * STEP)
        for name in CANDLE_COLUMNS:
            columns[name][row] = getattr(klines, name)
    return CandleGrid(BEGIN + STEP * np.arange(candles), *(columns[name] for name in CANDLE_COLUMNS))


def train(markets: int, years: float, *, small: bool) -> dict:
    """Train all kinds on a number of markets; seconds, peak memory and the sampling of this process."""
    from modelregistry.training.fit.plan import plan_for
    from modelregistry.training.kinds import TRAINING_KINDS
    from modelregistry.training.pipeline import TrainingRequest, train_kinds

    candles = round(years * YEAR) + WARMUP
    grid = real_candles(REAL[:markets], candles) if markets <= len(REAL) else None
    origin = "real" if grid is not None else "invented"
    grid = grid if grid is not None else invented_candles(markets, candles)
    counts = grid.present.sum(axis=1)
    plan = plan_for(int(counts.min()), HORIZONS, small=small, all_candles=int(counts.sum()))
    names = tuple(f"M{number:02d}USDT" for number in range(markets))
    request = TrainingRequest(grid, names, "simulated", tuple(TRAINING_KINDS), HORIZONS, plan, COSTS)
    started, ticks = time.perf_counter(), []
    trained = train_kinds(request, lambda done, total, _: ticks.append((done / total, time.perf_counter() - started)))
    whole = time.perf_counter() - started
    wrong = [abs((passed / share - passed) / (whole - passed) - 1) for share, passed in ticks if 0.1 < share < 0.9]
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "markets": markets,
        "candles": origin,
        "rows": next(iter(trained.values())).report["rows"],
        "stride": plan.stride,
        "wall_seconds": round(whole, 1),
        "processor_seconds": round(time.process_time(), 1),
        "peak_gib": round(peak_kib / 2**20, 2),
        "time_left_wrong_by_at_most": round(max(wrong), 3) if wrong else None,
    }


def main() -> None:
    """Train each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=int, nargs="+", default=[2, 6, 20, 50])
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--small", action="store_true", help="the quick training: fewer rows and trees")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--here", action="store_true", help="train one size in this process")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(train(options.markets[0], options.years, small=options.small)))
        return
    rows = []
    for markets in options.markets:
        words = [sys.executable, "-m", "benchmarks.scale", "--here", "--markets", str(markets)]
        words += ["--years", str(options.years), *(["--small"] if options.small else [])]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr)
    print(json.dumps({"sizes": rows, "years": options.years}))


if __name__ == "__main__":
    main()
