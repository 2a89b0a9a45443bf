"""Horizons of an hour, four hours and a day: trained, predicted, recorded, scored, archived, replayed and shown."""

from decimal import Decimal
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from django.core.management import call_command

from indicators.features import WARMUP, feature_set, features_for
from marketdata import clock
from marketdata.storage import candles as store
from modelregistry import registry
from modelregistry.artifacts import model_root, reading
from modelregistry.dataset.folds import walk_forward
from modelregistry.dataset.rows import build_dataset
from modelregistry.services import train
from predictions.forecasting import bracket_queries
from predictions.models import ChainCut, PredictionLog
from predictions.scoring.outcomes import score_predictions
from predictions.scoring.track_record import track_record
from signals import services
from signals.models import SignalLog
from signals.outcomes import score_signals
from signals.tasks import archive_logs
from tests.champions import BEGIN, STEP, artifact_folder, at_close_of, fresh_engine, make_markets, store_candles
from tests.modelregistry import invented

HORIZONS = (12, 48, 288)
LIVE = 6
"""Candles that are processed live."""
LATER = BEGIN + (LIVE + 2 * 288) * STEP
__all__ = ["artifact_folder", "fresh_engine"]


@pytest.fixture
def market(settings, monkeypatch, fresh_engine, tmp_path):
    """A market with champions of these horizons, and six candles that were processed live."""
    settings.DEFAULT_HORIZONS = list(HORIZONS)
    settings.ARCHIVE_PATH, settings.SIGNAL_RETENTION_DAYS = tmp_path / "archive", 1
    monkeypatch.setattr(feature_set, "_installed", features_for(HORIZONS))
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)
    (market,) = make_markets(WARMUP + 24 * 288, symbols=("BTCUSDT",))
    with clock.use(at_close_of(BEGIN - STEP)):
        train(source="simulated", small=True)
        services.advance()
    for k in range(LIVE):
        store_candles(market, BEGIN + k * STEP, 1)
        with clock.use(at_close_of(BEGIN + k * STEP)):
            services.advance()
    return market


def called(*words):
    out = StringIO()
    call_command(*words, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.django_db(transaction=True)
def test_horizons_of_a_day_go_through_everything(market, tmp_path, admin_client):
    champions = registry.champions("simulated")
    assert {kind: tuple(one.horizons) for kind, one in champions.items()} == {
        "range_predictor": HORIZONS,
        "tpsl_classifier": HORIZONS,
        "signal_classifier": (288,),
    }
    ranges = champions["range_predictor"]
    read = reading.read_manifest(model_root(), ranges.kind, ranges.digest)["features"]
    assert {"season_log_288", "week_288", "weekend_ahead_288"} <= set(read)
    assert [row["horizon"] for row in ranges.report["horizons"]] == list(HORIZONS)

    rows = PredictionLog.objects.filter(candle_time__gte=clock.to_datetime(BEGIN))
    assert sorted(rows.values_list("horizon", flat=True)) == sorted(HORIZONS * LIVE)
    assert SignalLog.objects.filter(candle_time__gte=clock.to_datetime(BEGIN)).count() == LIVE
    newest = BEGIN + (LIVE - 1) * STEP
    with clock.use(at_close_of(newest)):
        close = float(store.load_grid([market], newest, 1).close[0, 0])
        asked = bracket_queries.brackets("BTCUSDT", "buy", 288, f"{close * 1.02:.2f}", f"{close * 0.98:.2f}")
        assert 0 < asked["p_take_profit"] < 1
        proof = called("check_leakage", "--instants", "2", "--parity", "5")
    assert proof.endswith("clean\n")
    assert "LEAKS" not in proof

    replayed = tmp_path / "ranges.parquet", tmp_path / "brackets.parquet"
    span = ("--from", str(BEGIN), "--to", str(BEGIN + LIVE * STEP))
    called("replay_predictions", *span, "--ranges", str(replayed[0]), "--brackets", str(replayed[1]))
    found = pd.read_parquet(replayed[0]).set_index(["open_time", "horizon"])
    assert sorted(set(pd.read_parquet(replayed[1]).horizon)) == list(HORIZONS)
    for row in rows:
        again = found.loc[(clock.to_ms(row.candle_time), row.horizon)]
        assert [f"{again[f'high_q{level}']:.8f}" for level in ("05", "95")] == [
            f"{Decimal(row.high_quantiles[at]):.8f}" for at in (0, 6)
        ]
    pages = [
        admin_client.get(path) for path in ("/", "/market/BTCUSDT", "/console/record", f"/console/models/{ranges.pk}")
    ]
    assert [page.status_code for page in pages] == [200] * 4
    assert "24 h" in pages[1].content.decode()

    store_candles(market, BEGIN + LIVE * STEP, 2 * 288)
    with clock.use(at_close_of(LATER - STEP)):
        score_predictions()
        score_signals()
        grid = store.load_grid([market], BEGIN + 288 * STEP, 288)
        first = rows.get(candle_time=clock.to_datetime(BEGIN), horizon=288)
        assert float(first.actual_high) == grid.high.max()
        assert float(first.actual_low) == grid.low.min()
        scored = track_record([market])
        assert sorted(result["horizon"] for result in scored) == list(HORIZONS)
        archive_logs()
        assert ChainCut.objects.filter(log="predictions").exists()
        assert "unbroken" in called("verify_track_record", "--archive")


def test_folds_are_purged_by_a_whole_day():
    grid = invented.grid(WARMUP + 20 * 288, seed=1)
    rows = build_dataset(grid, ("AUSDT",), HORIZONS, 6, features=features_for(HORIZONS))
    for fold in walk_forward(rows.open_time, rows.ends, 2, test_span=2 * 86_400_000):
        gap = rows.open_time[fold.test].min() - rows.open_time[fold.train].max()
        assert gap >= 289 * STEP
    assert np.isfinite(rows.up).all()
