"""Training and evaluation from stored candles: what was tried is counted, what was said can be looked behind."""

from decimal import Decimal

import pytest

from indicators.features import WARMUP
from marketdata import services as markets
from marketdata import store
from marketdata.parsing import CandleRow
from modelregistry import registry, services, trials
from modelregistry.models import TrainingTrial

from . import invented

pytestmark = pytest.mark.django_db
CANDLES = WARMUP + 21 * 288


@pytest.fixture
def stored():
    """One market with its candles; gives their opens."""
    (market,) = markets.seed_markets(["AUSDT"], "simulated")
    grid = invented.grid(CANDLES, seed=3)
    columns = [getattr(grid, name)[0] for name in ("open", "high", "low", "close")]
    rows = [
        CandleRow(int(at), *(Decimal(f"{price:.8f}") for price in prices), Decimal(1), None, None, None, None)
        for at, *prices in zip(grid.open_time, *columns, strict=True)
    ]
    store.save_candles(market, rows, "import")
    return grid.open_time


def test_a_training_run_is_counted_and_its_version_can_be_looked_behind(stored):
    (version,) = services.train(["signal_classifier"], source="simulated", small=True, actor="olga")
    (trial,) = TrainingTrial.objects.all()
    assert (trial.version, trial.actor, trial.origin) == (version, "olga", "run")
    assert trial.score == pytest.approx(version.report["skill"])
    assert trial.configuration["hyperparameters"] == version.hyperparameters
    assert trial.tested_from is not None
    assert trials.ledger_report("signal_classifier", "simulated")["trials"] == 1

    found = services.evaluate(int(stored[-5 * 288]), int(stored[-1]), [version], stride=12)
    detail = found["signal_classifier"]["detail"]
    assert detail["cells"][0]["symbol"] == "AUSDT"
    assert sum(detail["cells"][0]["buy"]["rows"]) == found["signal_classifier"]["cells"][0]["rows"]
    assert registry.champions("simulated")["signal_classifier"].pk == version.pk
