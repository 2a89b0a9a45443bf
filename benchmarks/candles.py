"""A year of five-minute candles for benchmarks: real ones if available, else synthetic."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import WARMUP

YEAR = 105_120
SYMBOL = "BTCUSDT"
BEGIN = 1_640_995_200_000
STEP = 300_000
ROOT = Path(__file__).resolve().parent.parent


def load_year(rows: int = YEAR) -> tuple[CandleGrid, str]:
    """Newest gapless candles for `rows` rows with warm-up, and their origin."""
    needed = rows + WARMUP - 1
    path = Path(os.environ.get("MLENGINE_CANDLES") or ROOT.parent / "shared" / "data") / f"{SYMBOL}-5m.parquet"
    if path.exists():
        table = pq.read_table(path, columns=["open_time", *CANDLE_COLUMNS])
        kept = {name: table[name].to_numpy() for name in CANDLE_COLUMNS}
        grid = CandleGrid.from_columns(table["open_time"].to_numpy(), kept).tail(needed)
        if len(grid) == needed and grid.present.all():
            return grid, f"{SYMBOL}, exchange"
    return synthetic_candles(needed), "synthetic"


def synthetic_candles(rows: int) -> CandleGrid:
    from marketdata.simulator.generator.candles import CandleGenerator

    klines = CandleGenerator((SYMBOL,), seed=1).klines(SYMBOL, BEGIN, BEGIN + rows * STEP)
    columns = {name: np.asarray(getattr(klines, name), dtype=np.float64) for name in CANDLE_COLUMNS}
    return CandleGrid.from_columns(np.asarray(klines.open_time, dtype=np.int64), columns)
