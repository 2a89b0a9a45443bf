"""Live miss counters: correction and guard from memory equal those computed from the database."""

import logging
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from django.db import connection

import tests.champions
from indicators.features import WARMUP
from indicators.proofs.leakage import same_bits
from marketdata.models import Candle
from marketdata.process_state import process_state
from marketdata.storage import candles
from modelregistry import registry
from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.estimators.online.guard import Guard
from modelregistry.registry.serving import LoadedVersions
from predictions.forecasting import forecast_batch, parity
from predictions.live import windows
from predictions.live.online_correction import reach_of
from predictions.live.windows import WindowsBySource
from tests.champions import (
    BEGIN,
    STEP,
    bootstrap_champions,
    candle_rows,
    consistent_estimator,
    make_markets,
    store_candles,
)
from tests.modelregistry import champions as tiny

NEWEST = BEGIN - STEP
CORRECTION = Correction(candles=576, stride=12, prior=2.0)
REACH = CORRECTION.candles + 72

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_engine")]
postgres = pytest.mark.postgres


def corrected(kind, seed=0):
    fitted = consistent_estimator(kind, seed)
    if kind != "range_predictor":
        return fitted
    return replace(fitted, correction=CORRECTION, novelty=tiny.often_flagging_novelty(Guard(candles=288, share=0.5)))


def guarded(kind, seed=0):
    fitted = corrected(kind, seed)
    return replace(fitted, correction=NO_CORRECTION) if kind == "range_predictor" else fitted


def month_long(kind, seed=0):
    fitted = corrected(kind, seed)
    return replace(fitted, correction=Correction(candles=30 * 288)) if kind == "range_predictor" else fitted


@pytest.fixture
def markets(monkeypatch):
    monkeypatch.setattr(tests.champions, "consistent_estimator", corrected)
    bootstrap_champions()
    return make_markets(WARMUP + REACH + 5)


def append(markets, open_ms):
    candles.save_all({market: candle_rows(market.symbol, open_ms, 1) for market in markets}, Candle.Origin.STREAM)


def check_live(markets, open_ms, *, from_memory=True):
    """Check the live path against the database; returns the event counts of the windows."""
    (live,) = forecast_batch.forecast_batches({market: [open_ms] for market in markets}, live=True)
    assert live.from_memory == from_memory
    ensemble = registry.load_ensemble("simulated")
    assert reach_of(ensemble) == REACH
    wanted = np.ones((len(markets), 1), dtype=bool)
    batch = forecast_batch.forecast_batch(live.markets, open_ms, 1, ensemble, wanted).forecasts
    assert (live.forecasts.inputs.log_factors != 0).any()
    assert same_bits(live.forecasts.inputs.log_factors, batch.inputs.log_factors).all()
    assert (live.forecasts.inputs.guard_suppresses == batch.inputs.guard_suppresses).all()
    assert (live.forecasts.suppressed_flags == batch.suppressed_flags).all()
    for side in ("high", "low"):
        assert same_bits(getattr(live.forecasts.ranges, side), getattr(batch.ranges, side)).all()
    assert parity.compare(live) == []
    return windows.counts()


@postgres
def test_counters_follow_the_candles(markets):
    check_live(markets, NEWEST)
    for k in range(80):
        append(markets, BEGIN + k * STEP)
        if k % 5 < 2:
            counts = check_live(markets, BEGIN + k * STEP)
    assert (counts["filled"], counts["reread"], counts["different"]) == (1, 0, 0)
    assert counts["compared"] > 30


CHANGES = {
    "a revision in the window": lambda market: candles.save_candles(
        market, [candle_rows(market.symbol, BEGIN - 300 * STEP, 1)[0]._replace(high=Decimal(10**6))], "rest"
    ),
    "a revision before the window": lambda market: candles.save_candles(
        market, [candle_rows(market.symbol, BEGIN - (WARMUP + 400) * STEP, 1)[0]._replace(high=Decimal(10**6))], "rest"
    ),
    "a deleted candle": lambda market: Candle.objects.filter(
        market=market, open_time=BEGIN - 200 * STEP
    ).delete(),
    "all old candles deleted": lambda market: Candle.objects.filter(
        market=market, open_time__lt=BEGIN - (WARMUP + 200) * STEP
    ).delete(),
}  # fmt: skip


@postgres
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_market_whose_past_changes_is_counted_again(markets, change):
    check_live(markets, NEWEST)
    change(markets[1])
    append(markets, BEGIN)
    counts = check_live(markets, BEGIN)
    assert (counts["filled"], counts["reread"]) == (1, 1)
    for k in range(1, 20):
        append(markets, BEGIN + k * STEP)
    assert check_live(markets, BEGIN + 19 * STEP)["reread"] == 1, "a pause is caught up, candle by candle"


@postgres
def test_a_gap_and_a_late_candle(markets):
    check_live(markets, NEWEST)
    for k in range(90):
        append(markets if k != 10 else markets[:1], BEGIN + k * STEP)
        if k % 20 == 15:
            check_live(markets, BEGIN + k * STEP)
    store_candles(markets[1], BEGIN + 10 * STEP, 1)
    append(markets, BEGIN + 90 * STEP)
    assert check_live(markets, BEGIN + 90 * STEP)["filled"] == 1


@postgres
def test_a_restart_and_one_market_alone(markets):
    check_live(markets, NEWEST)
    process_state.drop(WindowsBySource)
    append(markets, BEGIN)
    assert check_live(markets, BEGIN)["filled"] == 1
    append(markets, BEGIN + STEP)
    check_live(markets[1:], BEGIN + STEP)
    assert check_live(markets[:1], BEGIN + STEP)["filled"] == 1


@postgres
def test_a_promotion_starts_the_counters_of_the_new_version(markets, monkeypatch):
    check_live(markets, NEWEST)
    monkeypatch.setattr(tiny, "estimator", corrected)
    registry.promote(tiny.candidate(seed=7, source="simulated"), "tests", "another")
    process_state.of(LoadedVersions).serving.clear()
    append(markets, BEGIN)
    assert check_live(markets, BEGIN)["filled"] == 2


@postgres
def test_a_version_without_correction_keeps_the_windows(markets, monkeypatch):
    check_live(markets, NEWEST)
    monkeypatch.setattr(tiny, "estimator", consistent_estimator)
    registry.promote(tiny.candidate(seed=7, source="simulated"), "tests", "an older kind")
    process_state.of(LoadedVersions).serving.clear()
    append(markets, BEGIN)
    (live,) = forecast_batch.forecast_batches({market: [BEGIN] for market in markets}, live=True)
    assert live.from_memory
    assert live.forecasts.inputs.log_factors is None
    before = windows.counts()
    assert parity.compare(live) == []
    after = windows.counts()
    assert after["filled"] == 1
    assert after["compared"] > before["compared"]


@postgres
def test_a_version_with_a_guard_and_without_correction(markets, monkeypatch):
    monkeypatch.setattr(tiny, "estimator", guarded)
    registry.promote(tiny.candidate(seed=7, source="simulated"), "tests", "guard only")
    process_state.of(LoadedVersions).serving.clear()
    ensemble = registry.load_ensemble("simulated")
    assert reach_of(ensemble) == 288
    for k in range(60):
        append(markets, BEGIN + k * STEP)
        (live,) = forecast_batch.forecast_batches({market: [BEGIN + k * STEP] for market in markets}, live=True)
        assert live.from_memory
        assert live.forecasts.inputs.log_factors is None
        if k % 7 == 0:
            batch = forecast_batch.forecast_batch(
                live.markets, BEGIN + k * STEP, 1, ensemble, np.ones((2, 1), dtype=bool)
            ).forecasts
            assert (live.forecasts.inputs.guard_suppresses == batch.inputs.guard_suppresses).all()
            assert parity.compare(live) == []
    assert windows.counts()["different"] == 0


def test_a_market_with_too_little_history_is_not_corrected_and_is_logged(markets, monkeypatch, caplog):
    # A fifth of the counted forecasts must have an outcome; three weeks are short enough for every market.
    monkeypatch.setattr(tiny, "estimator", month_long)
    registry.promote(tiny.candidate(seed=7, source="simulated"), "tests", "a longer memory")
    process_state.of(LoadedVersions).serving.clear()
    late = markets[1]
    Candle.objects.filter(market=late, open_time__lt=BEGIN - (WARMUP + 30) * STEP).delete()
    work = {market: [NEWEST] for market in markets}
    with caplog.at_level(logging.INFO):
        (live,) = forecast_batch.forecast_batches(work, live=True)
        (again,) = forecast_batch.forecast_batches(work, live=True)
    at = live.markets.index(late)
    assert live.forecasts.refusals(at, 0) == []
    assert live.forecasts.uncorrected(at, 0)
    assert not live.forecasts.uncorrected(1 - at, 0)
    assert again.forecasts.uncorrected(at, 0)
    assert caplog.text.count(f"too little history for online correction: {late.symbol}") == 1, "logged once"


def test_without_marks_windows_are_read_from_the_database(markets):
    if connection.vendor == "postgresql":
        pytest.skip("this database keeps marks")
    check_live(markets, NEWEST, from_memory=False)
    append(markets, BEGIN)
    check_live(markets, BEGIN, from_memory=False)
