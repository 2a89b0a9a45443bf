"""Live windows: rows from memory equal those from the database after any change of candles."""

import logging
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection, transaction

from indicators.catalog.volatility import ewm_sigma
from indicators.features import WARMUP, build_features
from indicators.proofs.leakage import same_bits
from marketdata import clock
from marketdata.models import Candle, Market
from marketdata.storage import candles
from predictions import services
from predictions.forecasting import forecast_batch, parity
from predictions.live import windows
from predictions.models import PredictionLog
from tests.champions import BEGIN, STEP, at_close_of, bootstrap_champions, candle_rows, make_markets, store_candles

NEWEST = BEGIN - STEP

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_engine")]


@pytest.fixture
def markets():
    return make_markets(WARMUP + 5)


def check_rows(markets, open_ms):
    """Check rows from memory against the database; returns the event counts."""
    grid = candles.load_grid(markets, open_ms, WARMUP)
    with windows.of_source("simulated").rows(markets, open_ms) as found:
        assert found is not None
        assert same_bits(found.inputs.features, build_features(grid, 1)[:, 0]).all()
        assert same_bits(found.inputs.sigma, np.ascontiguousarray(ewm_sigma(grid, 1)[:, 0])).all()
        assert np.array_equal(found.grid.close, grid.close, equal_nan=True)
        assert np.array_equal(found.grid.present, grid.present)
    return windows.counts()


def append(markets, open_ms):
    candles.save_all({market: candle_rows(market.symbol, open_ms, 1) for market in markets}, Candle.Origin.STREAM)


def execute(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_the_window_is_filled_once_and_then_extended(markets, django_assert_num_queries):
    check_rows(markets, NEWEST)
    for k in range(20):
        append(markets, BEGIN + k * STEP)
        counts = check_rows(markets, BEGIN + k * STEP)
    assert (counts["filled"], counts["fed"], counts["reread"]) == (1, 20, 0)
    append(markets, BEGIN + 20 * STEP)
    with django_assert_num_queries(0), windows.of_source("simulated").rows(markets, BEGIN + 20 * STEP) as found:
        assert found is not None, "candles are read by a statement of its own, without the ORM"


CHANGES = {
    "a revision": lambda market: candles.save_candles(
        market, [candle_rows(market.symbol, BEGIN - 900 * STEP, 1)[0]._replace(volume=Decimal("7.00000001"))], "rest"
    ),
    "a manual update": lambda market: execute(
        "UPDATE candles SET close = low WHERE market_id = %s AND open_time = %s", market.pk, BEGIN - 40 * STEP
    ),
    "a deleted candle": lambda market: Candle.objects.filter(
        market=market, open_time=BEGIN - 300 * STEP
    ).delete(),
    "the newest candle deleted": lambda market: Candle.objects.filter(market=market, open_time=NEWEST).delete(),
    "all candles deleted": lambda market: Candle.objects.filter(market=market).delete(),
    "a filled gap": lambda market: store_candles(market, BEGIN - 2000 * STEP, 1),
    "a moved candle": lambda market: execute(
        "UPDATE candles SET open_time = %s WHERE market_id = %s AND open_time = %s",
        BEGIN - 2000 * STEP, market.pk, BEGIN - 7 * STEP,
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_past_is_detected_at_the_next_candle(markets, change):
    Candle.objects.filter(market=markets[1], open_time=BEGIN - 2000 * STEP).delete()
    check_rows(markets, NEWEST)
    change(markets[1])
    append(markets, BEGIN)
    counts = check_rows(markets, BEGIN)
    assert (counts["filled"], counts["reread"]) == (1, 1)
    append(markets, BEGIN + STEP)
    assert check_rows(markets, BEGIN + STEP)["reread"] == 1, "it is read again once"


def test_a_truncation_is_detected(markets):
    check_rows(markets, NEWEST)
    execute("TRUNCATE candles CASCADE")
    append(markets, BEGIN)
    assert check_rows(markets, BEGIN)["reread"] == 2


def test_a_late_candle_is_added_when_it_is_stored(markets):
    check_rows(markets, NEWEST)
    append(markets[:1], BEGIN)
    check_rows(markets, BEGIN)
    append(markets[1:], BEGIN)
    assert check_rows(markets, BEGIN)["reread"] == 1
    append(markets[1:], BEGIN + STEP)
    append(markets[:1], BEGIN + STEP)
    check_rows(markets[1:], BEGIN + STEP)
    assert check_rows(markets[:1], BEGIN + STEP)["filled"] == 1


def test_a_late_candle_stored_with_the_next_one_is_added(markets):
    check_rows(markets, NEWEST)
    append(markets[:1], BEGIN)
    check_rows(markets, BEGIN)
    append(markets[1:], BEGIN)
    append(markets, BEGIN + STEP)
    check_rows(markets, BEGIN + STEP)


def test_a_short_pause_is_caught_up_and_a_long_one_reads_all_again(markets):
    check_rows(markets, NEWEST)
    for k in range(3):
        append(markets, BEGIN + k * STEP)
    assert check_rows(markets, BEGIN + 2 * STEP)["filled"] == 1
    until = BEGIN + (windows.MAX_CATCH_UP_CANDLES + 3) * STEP
    for market in markets:
        store_candles(market, BEGIN + 3 * STEP, windows.MAX_CATCH_UP_CANDLES + 1)
    assert check_rows(markets, until)["filled"] == 2


def test_a_block_ends_inside_the_window(markets):
    # Thirty days of a market share a mark; the window extends over the edge.
    edge = -(-BEGIN // (8640 * STEP)) * 8640 * STEP
    for market in markets:
        store_candles(market, BEGIN, (edge - BEGIN) // STEP - 2)
    for k in range(-3, 4):
        if k >= -2:
            append(markets, edge + k * STEP)
        counts = check_rows(markets, edge + k * STEP)
    assert (counts["filled"], counts["reread"]) == (1, 0)
    execute("UPDATE candles SET close = low WHERE market_id = %s AND open_time = %s", markets[0].pk, edge - 9 * STEP)
    append(markets, edge + 4 * STEP)
    assert check_rows(markets, edge + 4 * STEP)["reread"] == 1


def test_another_market_an_earlier_candle_and_an_open_transaction(markets):
    check_rows(markets, NEWEST)
    with windows.of_source("simulated").rows(markets, NEWEST - STEP) as found:
        assert found is None, "an earlier candle is read from the database"
    with transaction.atomic(), windows.of_source("simulated").rows(markets, NEWEST) as found:
        assert found is None, "rows that may be rolled back are not kept"
    late = Market.objects.create(symbol="SOLUSDT", source="simulated")
    store_candles(late, BEGIN - 50 * STEP, 50)
    assert check_rows([*markets, late], NEWEST)["filled"] == 2


def test_live_predictions_equal_those_from_the_database(markets):
    bootstrap_champions()
    with clock.use(at_close_of(NEWEST)):
        for _ in services.predict({market: [NEWEST] for market in markets}, live=True):
            pass
        live = {(row.market_id, row.horizon): row for row in PredictionLog.objects.all()}
        PredictionLog.objects.all().delete()
        for batch, rows in services.predict({market: [NEWEST] for market in markets}):
            assert not batch.from_memory
            for (market_id, _, horizon), row in rows.items():
                mine = live[market_id, horizon]
                assert (mine.high_quantiles, mine.low_quantiles) == (row.high_quantiles, row.low_quantiles)
    assert len(live) == 8
    assert windows.counts()["compared"] >= 1
    assert windows.counts()["different"] == 0


def test_a_difference_between_live_and_batch_is_logged_and_drops_the_windows(markets, caplog):
    bootstrap_champions()
    work = {market: [NEWEST] for market in markets}
    (done,) = forecast_batch.forecast_batches(work, live=True)
    assert done.from_memory
    assert parity.compare(done) == []
    done.forecasts.inputs.features[:, 3] += np.float32(1e-6)
    with caplog.at_level(logging.ERROR):
        assert parity.compare(done)
    assert "live and batch differ in" in caplog.text
    assert windows.counts()["different"] >= 1
    (again,) = forecast_batch.forecast_batches(work, live=True)
    assert parity.compare(again) == []
    assert windows.counts()["filled"] == 2
