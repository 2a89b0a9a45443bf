"""Features that read another market: live, silent and replayed, also when its candle comes late."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import FEATURE_NAMES, WARMUP, FeatureSet, feature_set, reads_markets
from indicators.features.feature_set import columns_digest
from marketdata import clock
from marketdata.models import Candle
from marketdata.storage import candles
from modelregistry import artifacts, registry
from modelregistry.estimators.novelty import Novelty
from predictions import services
from predictions.challengers.silent import forecast_challengers
from predictions.forecasting.forecast_batch import forecast_batch
from predictions.live import windows
from predictions.models import ChallengerLog, PredictionLog
from predictions.reasons import UNKNOWN_MARKETS
from tests.champions import (
    BEGIN,
    STEP,
    at_close_of,
    bootstrap_champions,
    candle_rows,
    consistent_estimator,
    make_markets,
)
from tests.modelregistry import champions as tiny

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_engine")]
KIND = "range_predictor"


@reads_markets("BTCUSDT")
def lead(window):
    yield "lead_12", window.other("BTCUSDT", lambda btc: btc.total(btc.returns, 12) / btc.level)


INSTALLED = FeatureSet((lead,))
NAMES = ["lead_12", *FEATURE_NAMES[1:]]


@pytest.fixture
def markets(monkeypatch):
    monkeypatch.setattr(feature_set, "_installed", INSTALLED)
    return make_markets(WARMUP + 5)


def version_with_a_lead(source="simulated"):
    """A registered range predictor whose first feature is that of another market."""
    plain_one = consistent_estimator(KIND, seed=4)
    fitted = replace(plain_one, novelty=Novelty((1, 2), np.zeros(2), np.ones(2), np.eye(2), 1e9))
    digest = columns_digest(NAMES, INSTALLED.definitions)
    fields = {"features": NAMES, "feature_definitions": INSTALLED.definitions, "feature_hash": digest}
    version = tiny.candidate(KIND, seed=4, source=source)
    version.digest = artifacts.write_artifact(KIND, fitted.to_files(), fields, tiny.golden(fitted))
    version.save()
    return version


def store(market, open_ms):
    candles.save_all({market: candle_rows(market.symbol, open_ms, 1)}, Candle.Origin.STREAM)


def predict(*markets, open_ms):
    with clock.use(at_close_of(open_ms)):
        return list(services.predict({market: [open_ms] for market in markets}, live=True))


def logged(market, open_ms, horizon=6):
    return PredictionLog.objects.get(market=market, candle_time=clock.to_datetime(open_ms), horizon=horizon)


def shown(forecasts, market, row):
    return [f"{value:.8f}" for value in forecasts.ranges.high[forecasts.position[market, row], 0]]


def test_a_late_candle_of_another_market_is_repeated_by_replay(markets):
    version = version_with_a_lead()
    registry.promote(version, "tests", "reads another market")
    btc, eth = markets
    for market in markets:
        store(market, BEGIN)
    predict(btc, eth, open_ms=BEGIN)
    store(eth, BEGIN + STEP)
    predict(eth, open_ms=BEGIN + STEP)
    store(btc, BEGIN + STEP)
    predict(btc, open_ms=BEGIN + STEP)
    for market in markets:
        store(market, BEGIN + 2 * STEP)
    predict(btc, eth, open_ms=BEGIN + 2 * STEP)
    unknown = [logged(eth, BEGIN + k * STEP).reason_details.get(UNKNOWN_MARKETS) for k in range(3)]
    assert unknown == [None, "BTCUSDT", None]
    assert not logged(eth, BEGIN + STEP).reasons
    assert not any(UNKNOWN_MARKETS in logged(btc, BEGIN + k * STEP).reason_details for k in range(3))
    assert windows.counts().get("different", 0) == 0

    ensemble = registry.load_ensemble("simulated")
    replayed = forecast_batch(markets, BEGIN + 2 * STEP, 3, ensemble).forecasts
    for index, market in enumerate(markets):
        for k in range(3):
            assert shown(replayed, index, k) == logged(market, BEGIN + k * STEP).high_quantiles, (market, k)
    late = logged(eth, BEGIN + STEP).high_quantiles
    PredictionLog.objects.all().delete()
    known = forecast_batch(markets, BEGIN + 2 * STEP, 3, ensemble).forecasts
    assert shown(known, 1, 1) != late, "the other market matters"


def test_a_champion_answers_beside_a_candidate_with_other_columns(markets):
    champion = bootstrap_champions()[KIND]
    candidate = version_with_a_lead()
    for k in range(3):
        for market in markets:
            store(market, BEGIN + k * STEP)
        done = predict(*markets, open_ms=BEGIN + k * STEP)
        assert [len(rows) for _, rows in done] == [8]
    with clock.use(at_close_of(BEGIN + 2 * STEP)):
        assert forecast_challengers() == 2 * 3 * 4
    assert windows.counts().get("different", 0) == 0
    rows = ChallengerLog.objects.filter(version=candidate, champion=champion, horizon=6)
    assert rows.count() == 6
    for row in rows:
        answered = logged(row.market, clock.to_ms(row.candle_time))
        assert answered.model_versions[KIND] == str(champion.pk)
        assert row.answer["champion"]["high"] == pytest.approx([float(price) for price in answered.high_quantiles])
        assert row.answer["candidate"] != row.answer["champion"]
    assert not PredictionLog.objects.filter(reason_details__has_key=UNKNOWN_MARKETS).exists()


@pytest.mark.postgres
def test_rows_in_memory_follow_another_market_that_is_not_asked_for(markets):
    btc, eth = markets
    registry.promote(version_with_a_lead(), "tests", "reads another market")
    for k in range(3):
        for market in markets:
            store(market, BEGIN + k * STEP)
        ((batch, _),) = predict(eth, open_ms=BEGIN + k * STEP)
        assert batch.from_memory
        expected = forecast_batch([eth], BEGIN + k * STEP, 1, batch.ensemble).forecasts
        assert (batch.forecasts.inputs.features == expected.inputs.features).all()
    assert windows.counts()["different"] == 0
    assert windows.counts()["compared"] == 3
    store(eth, BEGIN + 3 * STEP)
    ((batch, _),) = predict(eth, open_ms=BEGIN + 3 * STEP)
    assert np.isnan(batch.forecasts.inputs.features[0, -1])
    store(btc, BEGIN + 3 * STEP)
    ((batch, _),) = predict(eth, open_ms=BEGIN + 3 * STEP)
    assert np.isfinite(batch.forecasts.inputs.features).all()
