"""The newest row out of memory has the bits of the batch, whatever happened before it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.errors import FeatureError
from indicators.features import FEATURE_NAMES, WARMUP, build_features
from indicators.features.newest import NewestFeatures
from indicators.proofs.leakage import same_bits
from tests.indicators.series import bits, changed, walk, with_hole

LONG = walk(WARMUP + 400, markets=3, seed=11)


def candle(grid, position):
    return int(grid.open_time[position]), np.stack([getattr(grid, name)[:, position] for name in CANDLE_COLUMNS])


def assert_bits_of_batch(grid, pushes, newest=None):
    """Start `pushes` candles before the end of the grid, push them, and compare every row."""
    newest = newest or NewestFeatures.from_grid(grid.span(0, len(grid) - pushes))
    batch, sigma = build_features(grid, pushes + 1), ewm_sigma(grid, pushes + 1)
    for k in range(pushes + 1):
        if k:
            newest.push(*candle(grid, len(grid) - pushes - 1 + k))
        features, sigmas = newest.rows()
        different = (bits(features) != bits(batch[:, k])).any(axis=0)
        assert [FEATURE_NAMES[i] for i in np.flatnonzero(different)] == [], k
        assert same_bits(sigmas, np.ascontiguousarray(sigma[:, k])).all(), k
    return newest


def test_hundreds_of_pushes_have_the_bits_of_batch():
    assert_bits_of_batch(LONG, 400)


def test_a_row_nobody_asked_for_changes_no_bit():
    grid = with_hole(LONG, WARMUP - 90, WARMUP - 80, markets=[1])
    newest = NewestFeatures.from_grid(grid.span(0, WARMUP))
    for position in range(WARMUP, WARMUP + 20):
        newest.push(*candle(grid, position))
    assert_bits_of_batch(grid.span(0, WARMUP + 100), 80, newest)


def test_markets_are_missing_until_they_are_replaced():
    newest = NewestFeatures(3, int(LONG.open_time[WARMUP - 1]))
    assert np.isnan(newest.rows()[0]).all()
    assert not newest.grid.present.any()
    for market in (2, 0):
        newest.replace(market, LONG.span(0, WARMUP).select(market))
    assert_bits_of_batch(with_hole(LONG, 0, WARMUP, markets=[1]), 400, newest)


def test_nothing_but_later_candles_is_known_of_a_market_never_replaced():
    newest = NewestFeatures(3, int(LONG.open_time[WARMUP - 1]))
    assert_bits_of_batch(with_hole(LONG, 0, WARMUP), 400, newest)


def test_rows_given_before_do_not_change():
    newest = NewestFeatures.from_grid(LONG.span(0, WARMUP))
    features, sigma = newest.rows()
    kept = features.copy(), sigma.copy()
    newest.replace(1, changed(LONG, WARMUP - 40).span(0, WARMUP).select(1))
    assert (bits(features) == bits(kept[0])).all()
    assert (sigma == kept[1]).all()


def test_reading_a_row_twice_changes_nothing():
    newest = NewestFeatures.from_grid(LONG.span(0, WARMUP))
    first, again = newest.rows()[0], newest.rows()[0]
    assert (bits(first) == bits(again)).all()
    assert np.isfinite(first).all()


@pytest.mark.parametrize(
    ("start", "stop", "markets"),
    [
        (WARMUP - 300, WARMUP - 280, [1]),
        (WARMUP + 20, WARMUP + 21, [0, 2]),
        (WARMUP + 5, WARMUP + 200, slice(None)),
        (0, WARMUP - 60, [2]),
        (0, WARMUP + 30, [0]),
        (0, 150, [1]),
    ],
    ids=["held", "missed", "outage", "late", "not yet", "leaves the window"],
)
def test_holes_have_the_bits_of_batch(start, stop, markets):
    assert_bits_of_batch(with_hole(LONG, start, stop, markets=markets), 400)


def test_a_corrected_candle_gives_the_rows_of_the_corrected_history():
    newest = NewestFeatures.from_grid(LONG.span(0, WARMUP + 1))
    wrong = newest.rows()[0]
    corrected = changed(LONG, WARMUP - 40)
    newest.replace(1, corrected.span(1, WARMUP + 1).select(1))
    assert (bits(newest.rows()[0][[0, 2]]) == bits(wrong[[0, 2]])).all()
    assert (bits(newest.rows()[0][1]) != bits(wrong[1])).any()
    mixed = {name: getattr(LONG, name).copy() for name in CANDLE_COLUMNS}
    for name in CANDLE_COLUMNS:
        mixed[name][1] = getattr(corrected, name)[1]
    assert_bits_of_batch(CandleGrid(LONG.open_time, **mixed), 399, newest)


def test_a_backfilled_hole_is_a_correction():
    hole = with_hole(LONG, WARMUP - 300, WARMUP - 290, markets=[0])
    newest = NewestFeatures.from_grid(hole.span(0, WARMUP))
    newest.replace(0, LONG.span(0, WARMUP).select(0))
    assert_bits_of_batch(LONG, 400, newest)


def test_what_is_held_is_what_was_given():
    newest = NewestFeatures.from_grid(LONG.span(0, WARMUP + 100))
    for position in range(WARMUP + 100, len(LONG)):
        newest.push(*candle(LONG, position))
    held = newest.grid
    assert np.array_equal(held.present, LONG.present[:, -WARMUP:])
    assert (held.open_time == LONG.open_time[-WARMUP:]).all()
    assert all((getattr(held, name) == getattr(LONG, name)[:, -WARMUP:]).all() for name in CANDLE_COLUMNS)


def test_only_the_next_candle_is_taken():
    newest = NewestFeatures.from_grid(LONG.span(0, WARMUP + 2))
    before = newest.rows()[0]
    for position in (WARMUP + 1, WARMUP, WARMUP + 3):
        with pytest.raises(FeatureError, match="the candle after"):
            newest.push(*candle(LONG, position))
    with pytest.raises(FeatureError, match="3 markets"):
        newest.push(int(LONG.open_time[WARMUP + 2]), np.ones((5, 2)))
    with pytest.raises(FeatureError, match="all the candles"):
        newest.replace(0, LONG.span(0, WARMUP).select(0))
    assert (bits(newest.rows()[0]) == bits(before)).all()


def test_too_little_history_is_refused():
    with pytest.raises(FeatureError, match=f"need {WARMUP} candles"):
        NewestFeatures.from_grid(LONG.span(0, WARMUP - 1))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flat_share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    scale=st.sampled_from([1e-9, 1.0, 1e7]),
    volume_scale=st.sampled_from([0.0, 1e-12, 1.0, 1e15]),
    pushes=st.integers(1, 60),
    holes=st.lists(
        st.tuples(st.integers(0, WARMUP + 59), st.integers(1, 400), st.sets(st.integers(0, 4), min_size=1)), max_size=4
    ),
)
def test_hostile_series_have_the_bits_of_batch(seed, flat_share, scale, volume_scale, pushes, holes):
    grid = walk(WARMUP + pushes, markets=5, seed=seed, flat_share=flat_share, scale=scale)
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    columns["volume"] *= volume_scale
    hostile = CandleGrid(grid.open_time, **columns)
    for start, length, markets in holes:
        hostile = with_hole(hostile, start, start + length, markets=sorted(markets))
    assert_bits_of_batch(hostile, pushes)


@pytest.mark.candles
@pytest.mark.long
def test_thousands_of_real_candles_have_the_bits_of_batch(candles_folder):
    files = [candles_folder / f"{symbol}-5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    grid = CandleGrid.stack([CandleGrid.from_frame(pd.read_parquet(file)) for file in files])
    hole = int(np.flatnonzero(~grid.present[0])[0])
    assert_bits_of_batch(grid.span(hole - WARMUP - 200, hole + 5800), 6000)
    assert_bits_of_batch(grid.tail(WARMUP + 3000), 3000)
