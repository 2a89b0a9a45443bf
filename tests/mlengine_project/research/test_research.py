"""What a quant reads and scores: the engine's own numbers, as arrays and frames, also in a running event loop."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import MLEngineError
from indicators.features import FEATURE_NAMES, WARMUP, build_features
from indicators.labels import future_range
from marketdata.models import Market
from marketdata.storage import candles as store
from mlengine_project import research
from modelregistry.estimators.forecast import LEVELS
from modelregistry.models import ModelVersion
from predictions.forecasting.forecast_batch import forecast_batch
from tests.champions import BEGIN, STEP, SYMBOLS, bootstrap_champions, make_markets
from tests.modelregistry import champions as tiny
from tests.modelregistry import invented

HORIZONS = (6, 18)
HOURS = 100
BEGINS = pd.Timestamp(BEGIN - HOURS * STEP, unit="ms", tz="UTC")
ENDS = pd.Timestamp(BEGIN, unit="ms", tz="UTC")


@pytest.fixture
def stored(champions):
    """Two markets with a history up to 2025 and a champion of every kind."""
    return make_markets(WARMUP + HOURS)


class Walk:
    """Quantiles of a random walk, whatever the features."""

    def predict(self, features):
        normal = np.array([0.06, 0.13, 0.32, 0.67, 1.15, 1.64, 1.96])
        return np.broadcast_to(normal, (len(features), len(HORIZONS), 2, len(LEVELS)))


@pytest.fixture(scope="module")
def invented_candles():
    return research.Candles(("AUSDT", "BUSDT"), invented.grid(WARMUP + 45 * 288, markets=2, seed=4), WARMUP + 28 * 288)


def test_candles_are_those_of_the_database(stored):
    found = research.candles(SYMBOLS, BEGINS, ENDS)
    grid = store.load_grid(stored, BEGIN - STEP, HOURS)
    assert found.symbols == SYMBOLS
    assert all((getattr(found, name) == getattr(grid, name)).all() for name in CANDLE_COLUMNS)
    frame = found.to_pandas()
    assert frame.index.names == ["symbol", "open_time"]
    assert frame.loc["ETHUSDT"].close.to_numpy().tolist() == grid.close[1].tolist()
    assert (frame.loc["BTCUSDT"].index == pd.date_range(BEGINS, ENDS, freq="5min", inclusive="left")).all()


def test_features_have_the_bits_of_the_live_path(stored):
    found = research.features(research.candles(SYMBOLS, BEGINS, ENDS))
    built = build_features(store.load_grid(stored, BEGIN - STEP, WARMUP + HOURS - 1), HOURS)
    assert found.array.tobytes() == built.reshape(-1, len(FEATURE_NAMES)).tobytes()
    assert found.to_pandas().loc["BTCUSDT"].shape == (HOURS, len(FEATURE_NAMES))


def test_labels_do_not_look_beyond_the_period(stored):
    candles = research.candles("BTCUSDT", BEGINS, ENDS)
    found = research.labels(candles, [6]).to_pandas()
    assert (found[6, "high"].to_numpy() == future_range(candles.period, 6)[0][0]).tolist()[:-6] == [True] * (HOURS - 6)
    assert found.tail(6).isna().all(axis=None)


def test_rows_without_a_candle_are_left_out():
    grid = invented.grid(50, markets=2)
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    for column in columns.values():
        column[0, 20:30] = np.nan
    found = research.Candles(("AUSDT", "BUSDT"), CandleGrid(grid.open_time, **columns), start=10)
    assert found.to_pandas().groupby("symbol").size().to_dict() == {"AUSDT": 30, "BUSDT": 40}
    assert np.isnan(research.features(found).array).all(), "there is no warm-up"


def test_samples_are_rows_of_a_training_and_split_without_overlap(invented_candles):
    found = research.samples(invented_candles, HORIZONS, stride=3)
    assert found.features.shape == (len(found), len(FEATURE_NAMES))
    assert np.allclose(found.targets[:, 1, 0] * found.sigma * np.sqrt(18), found.labels[:, 1, 0])
    at = int(found.open_time[len(found) // 2])
    before, after = found.split(at)
    assert before.rows.ends.max() <= at == after.open_time.min()
    assert len(found) - len(before) - len(after) == 2 * (18 // 3)
    frame = found.to_pandas()
    assert frame.high_18.to_numpy().tolist() == found.labels[:, 1, 0].tolist()
    assert frame.shape == (len(found), len(FEATURE_NAMES) + 4)


def test_forecasts_are_those_served_with_scale_and_outcomes(stored):
    found = research.forecasts(SYMBOLS, BEGINS, ENDS)
    champion = tiny.estimator("range_predictor")
    batch = forecast_batch(stored, BEGIN - STEP, HOURS, None)
    assert len(found) == 2 * HOURS == batch.forecasts.present.sum()
    assert found.quantiles.shape == (2 * HOURS, 4, 2, 7)
    assert (np.diff(found.quantiles, axis=3) >= 0).all()
    assert np.isfinite(found.scale).all()
    assert found.horizons == champion.horizons
    high = store.load_grid(stored, BEGIN - STEP, HOURS).high[0]
    assert found.outcomes[0, 1, 0] == high[1:19].max()
    assert np.isnan(found.outcomes[HOURS - 1]).all()
    frame = found.to_pandas()
    assert frame.index.names == ["symbol", "open_time", "horizon"]
    assert frame.loc[("BTCUSDT", BEGINS, 18)].actual_high == high[1:19].max()
    assert set(frame.reasons) == {""}


def test_a_version_is_named_by_the_beginning_of_its_digest(stored):
    other = tiny.candidate("range_predictor", seed=7, source="simulated")
    named = research.forecasts("BTCUSDT", BEGINS, ENDS, versions=[other.digest[:10]])
    assert named.quantiles.tobytes() != research.forecasts("BTCUSDT", BEGINS, ENDS).quantiles.tobytes()
    listed = research.versions().set_index("digest")
    assert listed.loc[other.digest[:12]].stage == "candidate"
    assert listed.stage.tolist().count("champion") == 3


def test_anything_that_predicts_is_scored_beside_the_baselines(invented_candles):
    train, test = research.samples(invented_candles, HORIZONS, stride=6).split("2024-01-05")
    found = research.evaluate(Walk(), test, train)
    frame = found.to_pandas()
    assert frame.index.tolist() == [(s, h, t) for s in ("AUSDT", "BUSDT") for h in HORIZONS for t in ("high", "low")]
    assert (frame.best_baseline_pinball > 0).all()
    assert np.allclose(frame.skill, 1 - frame.pinball / frame.best_baseline_pinball)
    assert (found.column("walk") >= found.column("best_baseline_pinball")).all()
    assert np.isclose(found.skill, frame.skill.mean())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (type("Short", (), {"predict": lambda _, rows: np.zeros((len(rows), 2))})(), "Short forecasts shape"),
        (type("Blank", (), {"predict": lambda _, rows: np.full((len(rows), 2, 2, 7), np.nan)})(), "not finite"),
    ],
)
def test_forecasts_of_another_shape_are_refused(invented_candles, model, sentence):
    train, test = research.samples(invented_candles, HORIZONS, stride=24).split("2024-01-05")
    with pytest.raises(MLEngineError, match=sentence):
        research.evaluate(model, test, train)
    with pytest.raises(MLEngineError, match="not all known before"):
        research.evaluate(model, test, test)


@pytest.mark.django_db
def test_a_version_is_scored_as_served(invented_candles, fresh_engine):
    bootstrap_champions(symbols=("AUSDT", "BUSDT"), source="exchange")
    train, test = research.samples(invented_candles, HORIZONS, stride=24).split("2024-01-05")
    with pytest.raises(MLEngineError, match="was trained up to 2025-01-01"):
        research.evaluate("champion", test, train)
    earlier = datetime(2023, 1, 1, tzinfo=UTC)
    ModelVersion.objects.update(trained_from=earlier, trained_until=earlier + timedelta(days=90))
    found = research.evaluate("champion", test, train)
    assert found.column("rows").sum() == 4 * len(test)
    late = research.samples(invented_candles, (6, 12), stride=24).split("2024-01-05")
    with pytest.raises(MLEngineError, match="has no horizon 12"):
        research.evaluate("champion", *late[::-1])


def test_what_is_not_there_is_named(stored):
    with pytest.raises(MLEngineError, match="no market of simulated candles is called DOGEUSDT"):
        research.candles("DOGEUSDT", BEGINS, ENDS)
    with pytest.raises(MLEngineError, match="holds no candle"):
        research.candles("BTCUSDT", ENDS, BEGINS)
    Market.objects.filter(symbol="ETHUSDT").update(enabled=False)
    found = research.markets().set_index("symbol")
    assert found.enabled.to_dict() == {"BTCUSDT": True, "ETHUSDT": False}
    assert found.loc["BTCUSDT", "last"] == ENDS - pd.Timedelta("5min")


@pytest.mark.django_db(transaction=True)
def test_all_of_it_runs_in_a_running_event_loop(fresh_engine):
    make_markets(WARMUP + HOURS)
    bootstrap_champions()

    async def cell():
        candles = research.candles(SYMBOLS, BEGINS, ENDS)
        research.markets(), research.versions(), research.features(candles), research.labels(candles)
        return research.forecasts(SYMBOLS, BEGINS, ENDS)

    assert np.isfinite(asyncio.run(cell()).quantiles).all()
