"""Properties of the features on real candles of two markets."""

import numpy as np
import pandas as pd
import pytest

from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.features import FEATURE_NAMES, WARMUP, build_features
from indicators.proofs.leakage import check_leakage
from indicators.proofs.parity import check_parity

pytestmark = pytest.mark.candles


@pytest.fixture(scope="module")
def grid(candles_folder):
    files = [candles_folder / f"{symbol}-5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    return CandleGrid.stack([CandleGrid.from_frame(pd.read_parquet(file)) for file in files])


@pytest.fixture(scope="module")
def instants(grid):
    return np.random.default_rng(7).integers(WARMUP - 1, len(grid) - 80, size=200).tolist()


def test_live_equals_batch_at_200_random_candles_of_both_markets(grid, instants):
    assert check_parity(build_features, FEATURE_NAMES, grid, instants, warmup=WARMUP) == []


def test_sigma_live_equals_batch(grid, instants):
    def sigma(part, rows):
        return ewm_sigma(part, rows)[:, :, None]

    assert check_parity(sigma, ["sigma"], grid, instants, warmup=WARMUP) == []


def test_no_future_reaches_any_feature(grid, instants):
    assert check_leakage(build_features, FEATURE_NAMES, grid, instants[:60], warmup=WARMUP).clean


def test_only_rows_near_the_two_holes_are_blank(grid):
    rows = len(grid) - WARMUP + 1
    features = build_features(grid, rows)
    blank = np.isnan(features)
    assert (blank.any(axis=2) == blank.all(axis=2)).all()
    assert not np.isinf(features).any()
    per_market = blank.all(axis=2).sum(axis=1)
    assert per_market.tolist() == [16 + 72 + 288 + 191] * 2
