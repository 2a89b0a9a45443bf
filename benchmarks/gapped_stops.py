"""Loss beyond the stop level when a candle opens past it, on real candles.

`expected_net_return` and `p_break_even` assume that a stop is filled at its level. This measures the difference:
the share of stop-losses whose candle opened beyond the level, and the mean loss beyond it, per stop-loss and per
bracket, in basis points of the entry.

    uv run python -m benchmarks.gapped_stops --json
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from indicators.barriers import Touch
from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.lookahead import judge_brackets
from modelregistry.estimators.bracket_calibration import SCORING_GRID

FOLDER = Path(os.environ.get("MLENGINE_CANDLES") or Path(__file__).resolve().parents[2] / "shared" / "data")
HORIZONS = (6, 18, 36, 72)
SIDES = ("buy", "sell")
BPS = 1e4


def gaps(grid: CandleGrid, horizon: int, multiples: tuple[float, float]) -> dict[str, float]:
    """Gap statistics of one bracket, both sides, around every close of a market."""
    unit = ewm_sigma(grid, len(grid)) * np.sqrt(horizon)
    beyond, stops, brackets = [], 0, 0
    for sign, side in zip((1.0, -1.0), SIDES, strict=True):
        stop = grid.close * (1 - sign * multiples[1] * unit)
        found = judge_brackets(
            grid, horizon, side=side, take_profit=grid.close * (1 + sign * multiples[0] * unit), stop_loss=stop
        )
        stopped = found.outcome == Touch.STOP_LOSS
        beyond.append((sign * (stop - found.exit) / found.entry)[stopped])
        stops += int(stopped.sum())
        brackets += int(np.isin(found.outcome, [Touch.TAKE_PROFIT, Touch.STOP_LOSS, Touch.NEITHER]).sum())
    loss = np.concatenate(beyond) * BPS
    return {
        "stops": stops,
        "gapped_percent": 100 * float((loss > 0).mean()),
        "bps_per_stop": float(loss.mean()),
        "bps_per_bracket": float(loss.sum() / brackets),
        "worst_bps": float(loss.max()),
    }


def measure(folder: Path, symbols: list[str]) -> list[dict[str, Any]]:
    """Rows of statistics per market, horizon and bracket."""
    rows = []
    for symbol in symbols:
        grid = CandleGrid.from_frame(pd.read_parquet(folder / f"{symbol}-5m.parquet"))
        rows += [
            {"symbol": symbol, "horizon": horizon, "bracket": name, **gaps(grid, horizon, multiples)}
            for horizon in HORIZONS
            for name, multiples in SCORING_GRID.items()
        ]
    return rows


def main() -> None:
    """Print a table, and with --json one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--candles", type=Path, default=FOLDER)
    parser.add_argument("--symbols", nargs="+", default=["BTCUSDT", "ETHUSDT"])
    options = parser.parse_args()
    rows = measure(options.candles, options.symbols)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    if options.json:
        mean = float(np.mean([row["bps_per_bracket"] for row in rows]))
        print(json.dumps({"bps_per_bracket": mean, "rows": rows}))


if __name__ == "__main__":
    main()
