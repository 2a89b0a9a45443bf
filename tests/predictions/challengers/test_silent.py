"""Silent challengers: forecasts of every live candle, isolated failures, scores."""

import logging
from datetime import timedelta

import numpy as np
import pytest

from marketdata import clock
from marketdata.process_state import process_state
from modelregistry import registry
from modelregistry.artifacts import model_root
from modelregistry.artifacts.verification import Verdicts
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.models import ModelVersion
from modelregistry.registry.serving import LoadedVersions
from predictions import services
from predictions.challengers import silent
from predictions.challengers.kinds import CHALLENGER_KINDS
from predictions.challengers.scores import score_challengers, silent_comparison
from predictions.challengers.silent import Suspensions
from predictions.market_windows import following_candles
from predictions.models import ChallengerLog, PredictionLog
from predictions.tasks import ask_challengers
from tests.champions import BEGIN, STEP, at_close_of, make_markets, store_candles
from tests.modelregistry import champions as tiny

NEWEST = BEGIN - STEP
KINDS = tiny.KINDS


@pytest.fixture
def markets(champions):
    found = make_markets()
    for market in found:
        store_candles(market, BEGIN, 100)
    process_state.drop(Suspensions)
    return found


def predict_live(markets, count=3):
    """Predict the candles from 2025 on with the champions, each in time."""
    for k in range(count):
        with clock.use(at_close_of(BEGIN + k * STEP)):
            for _ in services.predict({market: [BEGIN + k * STEP] for market in markets}):
                pass


def candidate(kind="range_predictor", seed=1, **changes):
    found = tiny.candidate(kind, seed, source="simulated")
    # The champions were promoted in the same second; a candidate must be newer.
    ModelVersion.objects.filter(pk=found.pk).update(
        **{"created_at": found.created_at + timedelta(hours=seed), **changes}
    )
    return ModelVersion.objects.get(pk=found.pk)


def forecast_pending(open_ms=BEGIN + 3 * STEP):
    with clock.use(at_close_of(open_ms)):
        return silent.forecast_challengers()


def test_every_kind_forecasts_every_live_candle_once_and_served_predictions_do_not_change(markets):
    predict_live(markets)
    served = list(PredictionLog.objects.order_by("pk").values())
    versions = [candidate(kind) for kind in KINDS]
    assert forecast_pending() == 2 * 3 * (4 + 4 + 1)
    assert forecast_pending() == 0
    assert list(PredictionLog.objects.order_by("pk").values()) == served
    for version in versions:
        rows = ChallengerLog.objects.filter(version=version)
        assert {row.champion.kind for row in rows} == {version.kind}
        assert all(row.answer["candidate"] and row.answer["champion"] for row in rows)
    row = ChallengerLog.objects.get(
        version=versions[0], market=markets[0], horizon=18, candle_time=clock.to_datetime(BEGIN)
    )
    logged = PredictionLog.objects.get(market=markets[0], horizon=18, candle_time=clock.to_datetime(BEGIN))
    assert row.answer["champion"]["high"] == [float(price) for price in logged.high_quantiles]
    assert row.answer["candidate"]["high"] != row.answer["champion"]["high"]


def test_only_a_few_newer_candidates_forecast_and_only_after_their_training_range(markets):
    predict_live(markets)
    old = candidate(seed=1, created_at=clock.wall_now() - timedelta(days=1))
    newer = [candidate(seed=seed) for seed in (2, 3, 4)]
    assert [found for found, _ in silent.candidates_of("simulated")] == newer[:0:-1]
    ModelVersion.objects.filter(pk=newer[2].pk).update(trained_until=clock.to_datetime(BEGIN + STEP))
    ModelVersion.objects.filter(pk=newer[1].pk).update(symbols=["ETHUSDT"])
    forecast_pending()
    assert not ChallengerLog.objects.filter(version__in=[old, newer[0]]).exists()
    assert min(row.candle_time for row in newer[2].silent_answers.all()) == clock.to_datetime(BEGIN + STEP)
    assert {row.market for row in newer[1].silent_answers.all()} == {markets[1]}


def test_a_damaged_challenger_is_logged_and_skipped_and_the_others_forecast(markets, caplog):
    predict_live(markets)
    damaged, sound = candidate(seed=11), candidate("tpsl_classifier", seed=1)
    process_state.drop(LoadedVersions, Verdicts)
    for path in (model_root() / damaged.kind / damaged.digest).iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING, logger="predictions.challengers.silent"):
        assert forecast_pending() == 2 * 3 * 4
    assert str(damaged) in caplog.text
    assert not damaged.silent_answers.exists()
    assert sound.silent_answers.count() == 24


def test_a_slow_challenger_is_suspended(markets, monkeypatch, caplog):
    predict_live(markets, 1)
    slow = candidate()
    monkeypatch.setattr(silent, "SLOW_SECONDS", -1.0)
    with caplog.at_level(logging.WARNING, logger="predictions.challengers.silent"):
        forecast_pending()
    assert "suspended" in caplog.text
    predict_live(markets, 2)
    assert forecast_pending() == 0
    monkeypatch.setattr(silent, "SLOW_SECONDS", 20.0)
    assert forecast_pending(BEGIN + 20 * STEP) == 8
    assert slow.silent_answers.count() == 16


def test_losses_use_the_candles_that_followed(markets):
    predict_live(markets)
    for kind in KINDS:
        candidate(kind)
    forecast_pending()
    with clock.use(at_close_of(BEGIN + 6 * STEP, -1)):
        assert score_challengers() == 0
    with clock.use(at_close_of(BEGIN + 6 * STEP)):
        assert score_challengers() == 2 * 2
    with clock.use(at_close_of(BEGIN + 95 * STEP)):
        ask_challengers()
    assert not ChallengerLog.objects.filter(loss__isnull=True).exists()
    row = ChallengerLog.objects.get(
        version__kind=KINDS[0], market=markets[0], horizon=6, candle_time=clock.to_datetime(BEGIN)
    )
    logged = PredictionLog.objects.get(market=markets[0], horizon=6, candle_time=row.candle_time)
    after = following_candles(markets[0], [BEGIN], 6)
    levels, close = np.array([0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95]), float(logged.current_price)
    expected = []
    for quantiles, actual in zip((logged.high_quantiles, logged.low_quantiles), after.range_of(BEGIN, 6), strict=True):
        error = np.log(float(actual) / close) - np.log(np.array(quantiles, dtype=float) / close)
        expected.append(np.maximum(levels * error, (levels - 1) * error).mean())
    assert row.champion_loss == pytest.approx(1e4 * np.mean(expected), rel=1e-6)
    assert row.loss != row.champion_loss


@pytest.mark.parametrize(
    ("prices", "bracket", "direction"),
    [
        ((100, 103, 99.5, 101), 0.0, 0.0),  # up first: a buy takes profit, a sell stops
        ((100, 100.5, 99.5, 100.2), 2.0, 2.0),  # neither
        ((100, 103, 97, 100), 1.0, 2.0),  # both in one candle: stop-loss on either side, and the order is unknown
        ((103, 104, 102, 103), None, 2.0),  # void
    ],
)
def test_bracket_and_direction_losses_equal_hand_computed_ones(db, prices, bracket, direction):
    class After:
        @staticmethod
        def floats(name, open_ms, horizon):
            column = prices[("open", "high", "low", "close").index(name)]
            return np.full((1, 1), float(column))

    levels = {"above": 102.0, "below": 98.0, "costs": 0.004}
    forecast = {"buy": [1.0, 0.0, 0.0], "sell": [0.0, 1.0, 0.0]}
    losses = CHALLENGER_KINDS["tpsl_classifier"].losses(
        {**levels, "candidate": forecast, "champion": None}, After, 0, 1
    )
    assert losses == (bracket, None)
    probabilities = [1.0, 0.0, 0.0]
    assert CHALLENGER_KINDS["signal_classifier"].losses(
        {**levels, "candidate": probabilities, "champion": probabilities}, After, 0, 1
    ) == (
        direction,
        direction,
    )


def test_the_comparison_has_the_gain_and_its_interval(markets):
    version = candidate()
    champion = registry.champions("simulated")["range_predictor"]
    rng = np.random.default_rng(5)
    rows = []
    for market in markets:
        for k in range(0, 20 * 288, 12):
            theirs = float(rng.uniform(8, 12))
            rows.append(
                ChallengerLog(
                    market=market, version=version, champion=champion, horizon=6, answer={}, loss=0.9 * theirs,
                    champion_loss=theirs, candle_time=clock.to_datetime(BEGIN + k * STEP),
                )
            )  # fmt: skip
    ChallengerLog.objects.bulk_create(rows)
    summary = silent_comparison(version)
    assert [(cell["symbol"], cell["horizon"]) for cell in summary] == [("BTCUSDT", 6), ("ETHUSDT", 6), ("all", None)]
    for cell in summary:
        assert cell["gain"] == pytest.approx(0.1)
        assert cell["lower"] <= cell["gain"] <= cell["upper"]
        assert not cell["too_few"]
    assert summary[0]["n"] == 480
    mine = [row for row in rows if row.market == markets[0]]
    times = np.array([clock.to_ms(row.candle_time) for row in mine])
    own, theirs = (np.array([getattr(row, name) for row in mine]) for name in ("loss", "champion_loss"))
    straight = block_interval(theirs - own, times, theirs)
    assert summary[0]["lower"] == pytest.approx(straight.lower)
    assert summary[0]["upper"] == pytest.approx(straight.upper)
    assert summary[0]["loss"] == pytest.approx(own.mean())
    assert silent_comparison(champion) == []


def test_only_candles_the_champions_predicted_are_forecast(markets):
    candidate()
    assert forecast_pending() == 0


def test_challenger_forecasts_are_deleted_after_the_hot_period(markets, settings):
    predict_live(markets, 2)
    candidate()
    forecast_pending()
    settings.SIGNAL_RETENTION_DAYS = 1
    with clock.use(at_close_of(BEGIN + 287 * STEP)):
        assert silent.delete_old_forecasts() == 8
    assert {row.candle_time for row in ChallengerLog.objects.all()} == {clock.to_datetime(BEGIN + STEP)}
