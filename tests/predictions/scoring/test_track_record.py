"""HAR baseline of the track record, as stored when the version was trained."""

import numpy as np
import pytest

from marketdata import clock
from modelregistry.evaluation.baselines.kept import BASELINE_KEY
from modelregistry.models import ModelVersion
from predictions import services
from predictions.models import PredictionLog
from predictions.scoring.outcomes import score_predictions
from predictions.scoring.track_record import ScoredPredictions, score, track_record
from tests.champions import BEGIN, STEP, at_close_of, make_markets

NEWEST = BEGIN - STEP
LEVELS = np.array([0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95])
SCALE = 0.004
UNITS = np.array([[0.1, 0.2, 0.4, 0.7, 1.1, 1.6, 2.0], [0.1, 0.2, 0.5, 0.8, 1.2, 1.7, 2.1]])


def pinball(forecast, actual):
    error = actual - forecast
    return np.maximum(LEVELS * error, (LEVELS - 1) * error).mean()


def expected_loss(row):
    """Loss of the constant scale, in basis points of log price."""
    close = float(row.current_price)
    high, low = (np.log(float(price) / close) for price in (row.actual_high, row.actual_low))
    up, down = np.log1p(SCALE * UNITS[0]), np.log1p(-SCALE * UNITS[1][::-1])
    return 1e4 * (pinball(up, high) + pinball(down, low)) / 2


def test_the_stored_baseline_is_scored_beside_its_version(champions):
    markets = make_markets(count=4104 + 900)
    with clock.use(at_close_of(NEWEST - 99 * STEP)):
        for _ in services.predict({markets[0]: [NEWEST - k * STEP for k in range(100)]}):
            pass
    with clock.use(at_close_of(NEWEST)):
        score_predictions()
        before = track_record(markets)
    assert {cell["skill"]["har_season"] for cell in before} == {None}, (
        "a version without a stored baseline gets no score"
    )

    kept = {"horizon": 18, "weights": [float(np.log(SCALE)), *6 * [0.0]], "quantiles": UNITS.tolist()}
    ModelVersion.objects.filter(kind="range_predictor").update(report={BASELINE_KEY: [kept]})
    with clock.use(at_close_of(NEWEST)):
        after = {cell["horizon"]: cell for cell in track_record(markets)}
    rows = PredictionLog.objects.filter(horizon=18, actual_high__isnull=False)
    cell = after[18]
    assert cell["n"] == len(rows) == 82
    assert cell["baselines"]["har_season"] == pytest.approx(np.mean([expected_loss(row) for row in rows]), rel=1e-6)
    assert cell["skill"]["har_season"] == pytest.approx(1 - cell["pinball_bps"] / cell["baselines"]["har_season"])
    assert cell["skill"]["ewm"] == next(one for one in before if one["horizon"] == 18)["skill"]["ewm"]
    assert after[6]["skill"]["har_season"] is None


def scored_days(days, seed=3):
    """Constant forecasts of normal moves, one a candle."""
    n = 288 * days
    moves = np.abs(np.random.default_rng(seed).normal(0.0, SCALE, (2, n)))
    bands = np.tile(100 * np.exp(SCALE * UNITS[0]), (n, 1)), np.tile(100 * np.exp(-SCALE * UNITS[1][::-1]), (n, 1))
    came = 100 * np.exp(moves[0]), 100 * np.exp(-moves[1])
    open_ms = BEGIN + STEP * np.arange(n)
    return ScoredPredictions(open_ms, np.full(n, 100.0), *bands, *came, np.full(n, 0.1), np.ones(n, dtype=bool))


def test_a_skill_has_an_interval_from_ten_days_on():
    found = score(scored_days(12), 6, np.full(288 * 12, SCALE))
    interval = found["skill_interval"]["ewm"]
    assert interval["lower"] < found["skill"]["ewm"] < interval["upper"]
    assert interval["upper"] - interval["lower"] < 0.1
    assert found["skill_interval"]["har_season"] is None
    assert score(scored_days(8), 6, np.full(288 * 8, SCALE))["skill_interval"]["ewm"] is None
