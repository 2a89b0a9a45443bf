"""Training benchmark beside other libraries: walk-forward window, bracket outcomes, batch and newest features.

    uv run python -m benchmarks.training --json [--rounds 5] [--trees 100] [--only KEY ...]

FreqAI and vectorbt run in separate environments, created once by uv under the cache folder; both sides get the same
candles, rows and parameters, and alternate in every round. Real candles are used if the folder exists
(MLENGINE_CANDLES), else synthetic ones. The last line is one JSON object: medians of ratios, above 1 where this engine
is faster, `newest_features_500_us` in microseconds, null with a reason for parts that could not run. Times are wall
times; `processor` has the same ratios in processor seconds, which other load on the machine distorts less.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.candles import YEAR, load_year
from benchmarks.rivals import Rival, Unavailable
from indicators.candles import CANDLE_COLUMNS, CandleGrid

FREQAI = ["freqtrade==2026.9", "datasieve==0.1.9"]
VECTORBT = ["vectorbt==1.2.0"]
DAY = 288
TRAINED_DAYS, TESTED_DAYS = 30, 7
OUTPUTS = (6, 18, 36, 72)
N_FEATURES = 60
THREADS = 2
TREES = {"objective": "reg:squarederror", "max_depth": 6, "learning_rate": 0.05}
"""Same parameters on both sides, except histogram bins: 64 here, the XGBoost default of 256 in FreqAI."""
HORIZON = 72
REACH = 0.008
"""Distance of take-profit and stop-loss as a share of the close."""
MARKETS = 500

Seconds = dict[str, float]


def timed(work: Callable[[], object]) -> tuple[Seconds, object]:
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}, found


def alternate(ours: Callable[[], Seconds], theirs: Callable[[], Seconds], rounds: int) -> dict:
    """Run both sides alternately; medians of the ratios without the warm-up round."""
    pairs = []
    for number in range(rounds + 1):
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        result = first(), second()
        pairs += [result if number % 2 else result[::-1]] if number else []
    ratios = {clock: [other[clock] / own[clock] for own, other in pairs] for clock in ("wall", "processor")}
    return {
        "ratio": statistics.median(ratios["wall"]),
        "processor": statistics.median(ratios["processor"]),
        "range": [round(min(ratios["wall"]), 2), round(max(ratios["wall"]), 2)],
        "ours_ms": round(1000 * statistics.median(own["wall"] for own, _ in pairs), 2),
        "theirs_ms": round(1000 * statistics.median(other["wall"] for _, other in pairs), 2),
        "ours_processor_ms": round(1000 * statistics.median(own["processor"] for own, _ in pairs), 2),
        "theirs_processor_ms": round(1000 * statistics.median(other["processor"] for _, other in pairs), 2),
        "rounds": rounds,
    }


def weekly_window(grid: CandleGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, log ranges and open times of the newest 37 days up to midnight."""
    from indicators.features import build_features
    from indicators.labels import future_range

    # FreqAI's windows start at midnight, and the newest rows have no outcome yet.
    stop = len(grid) - max(OUTPUTS)
    stop -= int(grid.open_time[stop] // grid.interval_ms % DAY)
    rows = (TRAINED_DAYS + TESTED_DAYS) * DAY
    features = build_features(grid.span(0, stop), rows)[0, :, :N_FEATURES]
    ranges = [future_range(grid, horizon) for horizon in OUTPUTS]
    targets = np.stack([np.log(np.maximum(up + down, 1e-5))[0, stop - rows : stop] for up, down in ranges], axis=1)
    return features, targets, grid.open_time[stop - rows : stop]


def train_and_predict(features: np.ndarray, targets: np.ndarray, trained: int, trees: int) -> np.ndarray:
    """Fit one booster per output on one binned matrix; predict the later rows."""
    from modelregistry.estimators import boosting

    matrix = boosting.binned(features[:trained], targets[:trained, 0], threads=THREADS)
    fitted = [
        boosting.fit(boosting.relabel(matrix, target), TREES, trees, seed=1, threads=THREADS)
        for target in targets[:trained].T
    ]
    return np.stack([boosting.margin(one, features[trained:]) for one in fitted], axis=1)


def walk_forward(grid: CandleGrid, folder: Path, rounds: int, trees: int) -> dict:
    """One weekly window, FreqAI and this engine: train on 30 days, predict 7."""
    from modelregistry.estimators.boosting import library_versions

    features, targets, open_time = weekly_window(grid)
    trained = TRAINED_DAYS * DAY
    parameters = {"n_estimators": trees, "random_state": 1, "n_jobs": THREADS, **TREES}
    inputs = {
        "features": features,
        "targets": targets,
        "open_time": open_time,
        "parameters": json.dumps(parameters),
        "trained_days": TRAINED_DAYS,
        "tested_days": TESTED_DAYS,
    }
    answers = {}

    def ours() -> Seconds:
        seconds, answers["ours"] = timed(lambda: train_and_predict(features, targets, trained, trees))
        return seconds

    same_trees = f"xgboost=={library_versions()['xgboost']}"
    with Rival("freqai", [*FREQAI, same_trees], folder / "freqai", inputs) as rival:
        result = alternate(ours, rival.work, rounds)
        answers["theirs"] = rival.answers()
    error = {side: float(np.sqrt(np.mean((found - targets[trained:]) ** 2))) for side, found in answers.items()}
    return {
        **result,
        "rows": [trained, len(features) - trained],
        "features": N_FEATURES,
        "trees": trees,
        "outputs": len(OUTPUTS),
        "error_of_ours_over_theirs": round(error["ours"] / error["theirs"], 4),
        "versions": rival.versions,
    }


def brackets(grid: CandleGrid, folder: Path, rounds: int, columns: int) -> dict:
    """Outcomes of brackets around the close; with `columns` above 1 they overlap."""
    from indicators.barriers import Touch
    from indicators.lookahead import judge_rows

    given = {name: getattr(grid, name)[0] for name in ("open", "high", "low", "close")}
    position = np.arange(0, len(grid) - HORIZON, (HORIZON + 1) // columns)
    market, close = np.zeros(len(position), dtype=np.int64), grid.close[0, position]
    judged = {}

    def work() -> object:
        levels = {"take_profit": close * (1.0 + REACH), "stop_loss": close * (1.0 - REACH)}
        return judge_rows(grid, market, position, HORIZON, side="buy", **levels)

    def ours() -> Seconds:
        seconds, judged["found"] = timed(work)
        return seconds

    ours()
    given |= {"horizon": HORIZON, "columns": columns, "take_profit": REACH, "stop_loss": REACH}
    name = folder / f"vectorbt-{columns}"
    with Rival("vectorbt", VECTORBT, name, given) as rival:
        result = alternate(ours, rival.work, rounds)
        outcome, candles = rival.answers()[:, position]
    found = judged["found"]
    # The portfolio opens at the close and has no void outcome; compare all other outcomes.
    same = ((found.outcome == outcome) & (found.candles == candles))[found.outcome != Touch.VOID]
    shares = {Touch(code).name.lower(): round(float((found.outcome == code).mean()), 3) for code in set(found.outcome)}
    result |= {"brackets": len(position), "agreement": round(float(same.mean()), 5), "outcomes": shares}
    return {**result, "versions": rival.versions}


def batch_features(grid: CandleGrid, rounds: int) -> dict:
    """The first 60 features of every candle, and no others on either side."""
    import pandas as pd

    from benchmarks import pandas_features
    from indicators.features import WARMUP
    from indicators.features.build import BLOCK
    from indicators.features.families import candle_features
    from indicators.features.stream import Stream

    candles = pd.DataFrame({name: getattr(grid, name)[0] for name in CANDLE_COLUMNS})
    rows = len(grid) - WARMUP + 1
    position = {name: at for at, name in enumerate(pandas_features.build(candles[:2]).columns)}
    found = {}

    def work() -> np.ndarray:
        built, stream = np.empty((len(grid), len(position)), dtype=np.float32), Stream(1)
        columns = np.stack([getattr(grid, name)[0, :, None] for name in CANDLE_COLUMNS])
        for start in range(0, len(grid), BLOCK):
            block = slice(start, start + BLOCK)
            window = stream.feed(columns[:, block])
            for name, values in candle_features(window):
                if name in position:
                    built[block, position[name]] = values[:, 0]
        return built[-rows:]

    def ours() -> Seconds:
        seconds, found["ours"] = timed(work)
        return seconds

    def theirs() -> Seconds:
        seconds, found["theirs"] = timed(lambda: pandas_features.build(candles))
        return seconds

    result = alternate(ours, theirs, rounds)
    agreement = pandas_features.agreement(candles, found["ours"])
    return {**result, "rows": rows, "agreement": agreement, "versions": {"pandas": pd.__version__}}


def newest_features(grid: CandleGrid, rounds: int, markets: int) -> dict:
    """A closed candle of every market arrives: put it in and give every market's row."""
    from indicators.features import WARMUP, NewestFeatures

    steps = rounds + 3
    columns = {name: np.repeat(getattr(grid, name)[:, -WARMUP - steps :], markets, axis=0) for name in CANDLE_COLUMNS}
    many = CandleGrid(grid.open_time[-WARMUP - steps :], **columns)
    newest = NewestFeatures.from_grid(many.span(0, WARMUP))
    answered = []
    for step in range(WARMUP, WARMUP + steps):
        candle = np.stack([getattr(many, name)[:, step] for name in CANDLE_COLUMNS])
        answered.append(
            timed(lambda at=step, candle=candle: (newest.push(many.open_time[at], candle), newest.rows()))[0]
        )
    result = {clock: [1e6 * one[clock] for one in answered[3:]] for clock in ("wall", "processor")}
    return {
        "us": statistics.median(result["wall"]),
        "processor_us": round(statistics.median(result["processor"])),
        "range_us": [round(min(result["wall"])), round(max(result["wall"]))],
        "markets": markets,
        "rounds": rounds,
    }


def measure(keys: list[str], *, rounds: int, trees: int, rows: int, markets: int, columns: int) -> dict:
    grid, source = load_year(rows)
    answer: dict = {"candles": source}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "walk_forward_vs_freqai": lambda: walk_forward(grid, folder, rounds, trees),
            "brackets_vs_vectorbt": lambda: _smaller_ratio(
                brackets(grid, folder, rounds, 1), brackets(grid, folder, max(rounds // 2, 1), columns)
            ),
            "features_vs_pandas": lambda: batch_features(grid, rounds),
            "newest_features_500_us": lambda: newest_features(grid, 20 * rounds, markets),
        }
        for key in keys or parts:
            try:
                result = parts[key]()
            except Unavailable as error:
                answer[key], result = None, {"reason": str(error)}
            else:
                answer[key] = round(result.pop("us" if "us" in result else "ratio"), 2)
            answer[f"{key}_detail"] = result
            print(f"{key}: {answer[key]} {json.dumps(result)}", file=sys.stderr)
    return answer


def _smaller_ratio(one_at_a_time: dict, every_candle: dict) -> dict:
    """Results of both variants, with the smaller ratio as the headline."""
    result = {"one_at_a_time": one_at_a_time, "every_candle": every_candle}
    return {"ratio": min(one["ratio"] for one in result.values()), **result}


def versions() -> dict[str, str]:
    import numba

    from modelregistry.estimators.boosting import library_versions

    return {"python": sys.version.split()[0], "numba": numba.__version__, **library_versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[], help="keys to measure, by default all")
    parser.add_argument("--rows", type=int, default=YEAR, help="candles measured on")
    parser.add_argument("--markets", type=int, default=MARKETS)
    options = parser.parse_args()
    sizes = {"rounds": options.rounds, "trees": options.trees, "rows": options.rows, "markets": options.markets}
    answer = measure(options.only, columns=HORIZON + 1, **sizes)
    print(json.dumps({**answer, "rounds": options.rounds, "versions": versions()}))


if __name__ == "__main__":
    main()
