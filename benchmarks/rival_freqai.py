"""FreqAI's side: one window of its backtest, trained and predicted by its own code. Runs in its own environment.

What `start_backtesting` does for a window, without saving models and without the strategy: slice, filter, scale,
fit XGBoostRegressorMultiTarget, predict the week, scale back. No part of the window is held out for testing, so that
it trains on the same rows.
"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import freqtrade
import numpy as np
import pandas as pd
import xgboost
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.prediction_models.XGBoostRegressorMultiTarget import XGBoostRegressorMultiTarget

PAIR = "BTC/USDT"
DAY_MS = 86_400_000

folder = Path(sys.argv[1])
given = dict(np.load(folder / "inputs.npz"))
trained_days, tested_days = int(given["trained_days"]), int(given["tested_days"])
frame = pd.DataFrame(given["features"], columns=[f"%-{i}" for i in range(given["features"].shape[1])])
for i, target in enumerate(given["targets"].T):
    frame[f"&-{i}"] = target
frame.insert(0, "date", pd.to_datetime(given["open_time"], unit="ms", utc=True))


def day(number):
    return datetime.fromtimestamp((int(given["open_time"][0]) + number * DAY_MS) / 1000, UTC).strftime("%Y%m%d")


(folder / "config.json").write_text("{}")
config = {
    "timeframe": "5m",
    "user_data_dir": folder,
    "config_files": [str(folder / "config.json")],
    "timerange": f"{day(trained_days)}-{day(trained_days + tested_days)}",
    "exchange": {"pair_whitelist": [PAIR]},
    "runmode": "backtest",
    "strategy": "none",
    "stake_currency": "USDT",
    "freqaimodel": "XGBoostRegressorMultiTarget",
    "freqai": {
        "enabled": True,
        "identifier": "benchmark",
        "train_period_days": trained_days,
        "backtest_period_days": tested_days,
        "save_backtest_models": False,
        "activate_tensorboard": False,
        "feature_parameters": {
            "include_timeframes": ["5m"],
            "include_corr_pairlist": [],
            "indicator_periods_candles": [1],
            "shuffle_after_split": False,
        },
        "data_split_parameters": {"test_size": 0, "shuffle": False},
        "model_training_parameters": json.loads(str(given["parameters"])),
    },
}
model = XGBoostRegressorMultiTarget(config)


def work():
    kitchen = FreqaiDataKitchen(config, False, PAIR)
    kitchen.set_paths(PAIR, 1)
    train = kitchen.slice_dataframe(kitchen.training_timeranges[0], frame)
    test = kitchen.slice_dataframe(kitchen.backtesting_timeranges[0], frame)
    kitchen.find_features(train)
    kitchen.find_labels(train)
    model.model = model.train(train, PAIR, kitchen)
    predicted, _ = model.predict(test, kitchen)
    return len(train), predicted.to_numpy()


print(json.dumps({"freqtrade": freqtrade.__version__, "xgboost": xgboost.__version__}), flush=True)
for _ in sys.stdin:
    wall, processor = time.perf_counter(), time.process_time()
    rows, answers = work()
    told = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor, "rows": rows}
    np.save(folder / "answers.npy", answers)
    print(json.dumps(told), flush=True)
