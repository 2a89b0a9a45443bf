"""Which candles a training may read, and what it refuses."""

from decimal import Decimal

import pytest

from indicators.features import WARMUP
from marketdata import services as markets
from marketdata.models import Candle
from modelregistry import registry, services
from modelregistry.errors import TrainingError
from modelregistry.models import ModelVersion
from tests.modelregistry import stored_candles

pytestmark = pytest.mark.django_db
CANDLES = WARMUP + 20 * 288
KIND = ["signal_classifier"]


@pytest.fixture
def opens():
    """Open times of one market with stored candles."""
    return stored_candles.market(CANDLES, seed=8)


def test_no_candle_at_or_after_until_is_read(opens):
    until = int(opens[-200])
    (before,) = services.train(KIND, source="simulated", until_ms=until)
    Candle.objects.filter(open_time__gte=until).update(high=Decimal(10**6), close=Decimal(10**5))
    (after,) = services.train(KIND, source="simulated", until_ms=until)
    assert after.digest == before.digest
    Candle.objects.filter(open_time=until - 300_000).update(high=Decimal(10**6), close=Decimal(10**5))
    (touched,) = services.train(KIND, source="simulated", until_ms=until)
    assert touched.digest != before.digest


def test_a_second_version_stays_a_candidate(opens):
    (first,) = services.train(KIND, source="simulated", until_ms=int(opens[-300]))
    (second,) = services.train(KIND, source="simulated")
    assert first.stage == ModelVersion.Stage.CHAMPION
    assert first.unproven
    assert second.stage == ModelVersion.Stage.CANDIDATE
    assert registry.champions("simulated")["signal_classifier"] == first
    assert "versus_champion" in second.report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ["oracle"]}, "no kind of estimator is called oracle"),
        ({"symbols": ["NOPE"]}, "no market of simulated candles is called NOPE"),
        ({"source": "exchange"}, "no market with exchange candles is enabled"),
    ],
)
def test_unknown_kinds_and_markets_are_refused_with_a_message(opens, arguments, message):
    with pytest.raises(TrainingError, match=message):
        services.train(**{"source": "simulated", **arguments})
    assert not ModelVersion.objects.exists()


def test_too_few_candles_are_refused_before_anything_is_written(opens):
    with pytest.raises(TrainingError, match="8,496 are needed"):
        services.train(KIND, source="simulated", until_ms=int(opens[WARMUP]))
    assert not ModelVersion.objects.exists()


def test_a_market_without_a_trained_version_is_refused(opens):
    (version,) = services.train(KIND, source="simulated", until_ms=int(opens[-100]))
    markets.seed_markets(["BUSDT"], "simulated")
    with pytest.raises(TrainingError, match="not in the training set"):
        services.evaluate(int(opens[-300]), int(opens[-1]), [version], ["BUSDT"])
