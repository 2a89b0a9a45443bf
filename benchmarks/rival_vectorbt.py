"""vectorbt's side: brackets as positions with a stop-loss, a take-profit and a time limit. Runs in its own environment.

A position opens at the close of its candle and is closed at its stop, its target or the close of the last candle.
`columns` of them run side by side, each holding one position at a time, as a portfolio does.
"""

import json
import sys
import time
from pathlib import Path

import numba
import numpy as np
import vectorbt

folder = Path(sys.argv[1])
given = dict(np.load(folder / "inputs.npz"))
opens, highs, lows, closes = (given[name] for name in ("open", "high", "low", "close"))
rows, horizon, columns = len(closes), int(given["horizon"]), int(given["columns"])
entered = np.arange(0, rows - horizon, (horizon + 1) // columns)
column = np.arange(len(entered)) % columns
entries, exits = np.zeros((2, rows, columns), dtype=bool)
entries[entered, column] = True
exits[entered + horizon, column] = True


def work():
    portfolio = vectorbt.Portfolio.from_signals(
        closes[:, None],
        entries,
        exits,
        open=opens[:, None],
        high=highs[:, None],
        low=lows[:, None],
        tp_stop=float(given["take_profit"]),
        sl_stop=float(given["stop_loss"]),
        size=1.0,
        size_type="amount",
        init_cash=np.inf,
        freq="5min",
    )
    return portfolio.orders.records


def outcomes(records):
    """0 take-profit, 1 stop-loss, 2 neither, and candles to the exit, by the candle entered."""
    order = np.lexsort((records["idx"], records["col"]))
    bought, sold = order[0::2], order[1::2]
    at, price = records["idx"].to_numpy(), records["price"].to_numpy()
    change = price[sold] / closes[at[bought]] - 1.0
    found = np.full((2, rows), -1, dtype=np.int64)
    limit = np.where(change > 0, 0, 1)
    timed = (at[sold] - at[bought] == horizon) & (price[sold] == closes[at[sold]])
    found[0, at[bought]] = np.where(timed, 2, limit)
    found[1, at[bought]] = at[sold] - at[bought]
    return found


np.save(folder / "answers.npy", outcomes(work()))
print(json.dumps({"vectorbt": vectorbt.__version__, "numba": numba.__version__, "numpy": np.__version__}), flush=True)
for _ in sys.stdin:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    print(json.dumps({"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}), flush=True)
