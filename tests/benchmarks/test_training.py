"""Parts of the training benchmark on small sizes; no durations are asserted."""

import sys

import numpy as np
import pytest

from benchmarks import pandas_features, rivals, training
from benchmarks.candles import load_year, synthetic_candles
from indicators.features import WARMUP

ROWS = 400


@pytest.fixture(scope="module")
def grid():
    return synthetic_candles(WARMUP + ROWS - 1)


def test_without_the_folder_candles_are_synthetic(tmp_path, monkeypatch):
    monkeypatch.setenv("MLENGINE_CANDLES", str(tmp_path))
    found, source = load_year(ROWS)
    assert (len(found), source) == (WARMUP + ROWS - 1, "synthetic")
    assert found.present.all()


def test_pandas_and_the_engine_compute_the_same_features(grid):
    result = training.batch_features(grid, 1)
    assert result["rows"] == ROWS
    assert result["agreement"]["within_1e-4"] > 0.999
    assert result["agreement"]["least_correlation_of_ewm"] > 0.9


def test_a_different_feature_lowers_the_agreement(grid):
    import pandas as pd

    candles = pd.DataFrame({name: getattr(grid, name)[0] for name in ("open", "high", "low", "close", "volume")})
    found = pandas_features.build(candles).iloc[-ROWS:].to_numpy()
    assert pandas_features.agreement(candles, found)["within_1e-4"] == 1.0
    assert pandas_features.agreement(candles, np.roll(found, 1, axis=0))["within_1e-4"] < 0.5


def test_newest_features_are_computed_for_every_market(grid):
    result = training.newest_features(synthetic_candles(WARMUP + 10), 2, markets=3)
    assert (result["markets"], result["rounds"]) == (3, 2)
    assert result["us"] > 0


def test_a_window_is_fitted_and_predicted():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 5)).astype(np.float32)
    targets = features[:, :2].astype(np.float64)
    predicted = training.train_and_predict(features, targets, trained=500, trees=60)
    assert predicted.shape == (100, 2)
    assert np.corrcoef(predicted[:, 1], targets[500:, 1])[0, 1] > 0.9


def test_an_unavailable_rival_is_null_with_its_reason(grid, monkeypatch):
    def refuse(name, _requirements):
        raise rivals.Unavailable(f"{name}: no way to the registry")

    monkeypatch.setattr(rivals, "environment", refuse)
    monkeypatch.setattr(training, "load_year", lambda _rows: (grid, "synthetic"))
    result = training.measure(["brackets_vs_vectorbt"], rounds=1, trees=2, rows=ROWS, markets=2, columns=1)
    assert result["brackets_vs_vectorbt"] is None
    assert result["brackets_vs_vectorbt_detail"] == {"reason": "vectorbt: no way to the registry"}


def test_a_missing_installer_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(rivals.Unavailable, match="uv"):
        rivals.environment("vectorbt", ["vectorbt"])


def test_a_rival_that_fails_at_start_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "environment", lambda *_: sys.executable)
    with pytest.raises(rivals.Unavailable, match="No module named 'vectorbt'"):
        rivals.Rival("vectorbt", [], tmp_path / "rival", {"close": np.ones(3)})
