"""An installation of its own, used by the commands as a person would type them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from indicators.candles import CANDLE_COLUMNS
from tests.modelregistry import invented

ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Installation:
    """A migrated installation with its own database, models and environment."""

    def __init__(self, folder):
        (folder / "state").mkdir()
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        self.environment = {
            **kept,
            "MLENGINE_ENV_FILE": "",
            "MLENGINE_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(folder),
        }
        self.succeed("migrate", "-v0")

    def manage(self, *words, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *map(str, words)],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *words, **environment):
        done = self.manage(*words, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def versions(self, **environment):
        """Versions as (digest, stage, estimator, features of other packages), oldest first."""
        script = (
            "import json\n"
            "from modelregistry.artifacts import model_root, reading\n"
            "from modelregistry.models import ModelVersion\n"
            "found = [(one.digest, one.stage, one.hyperparameters.get('estimator'), sorted(reading.read_manifest("
            "model_root(), one.kind, one.digest).get('feature_definitions', {}))) "
            "for one in ModelVersion.objects.order_by('created_at')]\n"
            "print(json.dumps(found))"
        )
        return json.loads(self.succeed("shell", "-v0", "-c", script, **environment).splitlines()[-1])

    def import_invented(self, n_candles):
        """Import invented candles of two markets, with all columns of the exchange; returns their open times."""
        grid = invented.grid(n_candles, markets=2, seed=3)
        for market, symbol in enumerate(SYMBOLS):
            columns = {name: getattr(grid, name)[market] for name in CANDLE_COLUMNS}
            bought = columns["volume"] * np.random.default_rng(market).uniform(0.3, 0.7, len(grid))
            flows = {"quote_volume": columns["volume"] * columns["close"], "trades": 7, "taker_buy_base": bought}
            flows["taker_buy_quote"] = bought * columns["close"]
            file = self.folder / f"{symbol}-5m.parquet"
            pd.DataFrame({"open_time": grid.open_time, **columns, **flows}).to_parquet(file)
            self.succeed("import_candles", file, "--source", "simulated")
        return grid.open_time
