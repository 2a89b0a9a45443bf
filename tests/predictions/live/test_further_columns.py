"""Features that read further columns of candles: live, from memory and replayed, also when one is filled in later."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import FEATURE_NAMES, WARMUP, FeatureSet, feature_set, reads_columns
from marketdata.models import Candle
from marketdata.storage import candles
from modelregistry import registry
from predictions.forecasting.forecast_batch import forecast_batch
from predictions.live import windows
from predictions.models import PredictionLog
from predictions.reasons import UNKNOWN_COLUMNS
from tests.champions import BEGIN, STEP, candle_rows, make_markets
from tests.predictions.live import test_other_markets as others

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_engine")]


@reads_columns("trades", "taker_buy_base")
def flow(window):
    yield "trades_12", window.further("trades", lambda trades: -window.mean(trades, 12))
    yield "taker_12", window.further("taker_buy_base", lambda bought: window.mean(bought, 12))


@pytest.fixture
def markets(monkeypatch):
    monkeypatch.setattr(feature_set, "_installed", FeatureSet((flow,)))
    monkeypatch.setattr(others, "INSTALLED", FeatureSet((flow,)))
    monkeypatch.setattr(others, "NAMES", ["trades_12", *FEATURE_NAMES[1:]])
    return make_markets(WARMUP + 5)


def without(row, *names):
    return row._replace(**dict.fromkeys(names))


def store(market, open_ms, *lacking):
    (row,) = candle_rows(market.symbol, open_ms, 1)
    candles.save_all({market: [without(row, *lacking)]}, Candle.Origin.STREAM)


def test_columns_are_read_as_stored(markets):
    store(markets[0], BEGIN, "trades")
    store(markets[1], BEGIN)
    grid = candles.load_grid(markets, BEGIN, 3)
    for index, market in enumerate(markets):
        rows = [candle_rows(market.symbol, BEGIN + k * STEP, 1)[0] for k in (-2, -1, 0)]
        assert grid.further["taker_buy_base"][index].tolist() == [float(row.taker_buy_base) for row in rows]
    assert np.isnan(grid.further["trades"]).tolist() == [[False, False, True], [False, False, False]]
    assert grid.present.all(), "a candle exists without its further columns"


def test_a_column_that_is_filled_in_later_is_repeated_as_it_was(markets):
    registry.promote(others.version_with_a_lead(), "tests", "reads further columns")
    btc, eth = markets
    for k in range(3):
        store(btc, BEGIN + k * STEP)
        store(eth, BEGIN + k * STEP, *(["trades"] if k == 1 else []))
        others.predict(btc, eth, open_ms=BEGIN + k * STEP)
        if k == 1:
            store(eth, BEGIN + k * STEP)
            assert Candle.objects.get(market=eth, open_time=BEGIN + STEP).trades is not None
    unknown = [others.logged(eth, BEGIN + k * STEP).reason_details.get(UNKNOWN_COLUMNS) for k in range(3)]
    assert unknown == [None, "trades", None]
    assert not others.logged(eth, BEGIN + STEP).reasons
    assert not any(UNKNOWN_COLUMNS in others.logged(btc, BEGIN + k * STEP).reason_details for k in range(3))
    assert windows.counts().get("different", 0) == 0

    ensemble = registry.load_ensemble("simulated")
    replayed = forecast_batch(markets, BEGIN + 2 * STEP, 3, ensemble).forecasts
    for index, market in enumerate(markets):
        for k in range(3):
            assert others.shown(replayed, index, k) == others.logged(market, BEGIN + k * STEP).high_quantiles
    unknown_then = others.logged(eth, BEGIN + STEP).high_quantiles
    PredictionLog.objects.all().delete()
    known = forecast_batch(markets, BEGIN + 2 * STEP, 3, ensemble).forecasts
    assert others.shown(known, 1, 1) != unknown_then, "the column matters"


@pytest.mark.postgres
def test_rows_in_memory_have_the_bits_of_the_batch(markets):
    registry.promote(others.version_with_a_lead(), "tests", "reads further columns")
    btc, eth = markets
    for k in range(4):
        store(btc, BEGIN + k * STEP, *(["taker_buy_base"] if k == 2 else []))
        store(eth, BEGIN + k * STEP)
        ((batch, _),) = others.predict(btc, eth, open_ms=BEGIN + k * STEP)
        assert batch.from_memory
        expected = forecast_batch(markets, BEGIN + k * STEP, 1, replace(batch.ensemble)).forecasts
        assert np.array_equal(batch.forecasts.inputs.features, expected.inputs.features, equal_nan=True)
        assert np.isnan(batch.forecasts.inputs.features[0, -1]) == (k >= 2)
    assert windows.counts()["different"] == 0
