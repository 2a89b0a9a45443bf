"""Properties of all features, including ones added later."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.calendar.releases import RELEASES
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import FEATURE_HASH, FEATURE_NAMES, WARMUP, FeatureSet, build_features, iter_features
from tests.indicators.series import bits, changed, inverted, walk, with_hole

LONG = walk(WARMUP + 700, markets=2, seed=3)
BATCH = build_features(LONG, 701, FeatureSet())


def names_where(mask):
    return [FEATURE_NAMES[i] for i in np.flatnonzero(mask)]


def test_names_are_unique_many_and_hashed():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) >= 50
    assert len(FEATURE_HASH) == 64
    assert BATCH.shape == (2, 701, len(FEATURE_NAMES))
    assert BATCH.dtype == np.float32


def test_every_feature_of_an_ordinary_market_is_finite_and_varies():
    assert np.isfinite(BATCH).all()
    # From 2024-06-06 on: jobs, inflation, rates and a holiday within two weeks.
    start_ms = 1_717_632_000_000 - WARMUP * 300_000
    two_weeks = build_features(walk(WARMUP + 4032, seed=5, start_ms=start_ms), 4033)[0]
    assert names_where(two_weeks.std(axis=0) == 0) == []


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 7, 64, 333, 700])
def test_live_row_with_exactly_its_warmup_has_the_bits_of_batch(offset):
    alone = build_features(LONG.span(offset, offset + WARMUP), 1)
    different = (bits(alone[:, 0]) != bits(BATCH[:, offset])).any(axis=0)
    assert names_where(different) == []


@pytest.mark.parametrize("rows", [2, 3, 5, 17, 100])
def test_any_number_of_rows_has_the_bits_of_batch(rows):
    assert (bits(build_features(LONG, rows)) == bits(BATCH[:, -rows:])).all()


@pytest.mark.parametrize("candles", [97, 701, WARMUP - 1, WARMUP, WARMUP + 1, 50_000])
def test_blocks_change_no_bit(monkeypatch, candles):
    monkeypatch.setattr("indicators.features.build.BLOCK", candles)
    assert (bits(build_features(LONG, 701)) == bits(BATCH)).all()


def test_iterating_covers_every_answerable_row_once():
    parts = list(iter_features(LONG, chunk=250))
    assert [part[0].start for part in parts] == [WARMUP - 1, WARMUP + 249, WARMUP + 499]
    assert (bits(np.concatenate([part[1] for part in parts], axis=1)) == bits(BATCH)).all()


def test_other_markets_in_the_grid_change_no_bit():
    alone = build_features(LONG.select(1), 50)
    assert (bits(alone[0]) == bits(BATCH[1, -50:])).all()


def test_memory_order_of_the_columns_changes_no_bit():
    columns = {name: np.asfortranarray(getattr(LONG, name)) for name in CANDLE_COLUMNS}
    for column in columns.values():
        column.setflags(write=False)
    reordered = CandleGrid(LONG.open_time, **columns)
    assert (bits(build_features(reordered, 701)) == bits(BATCH)).all()
    assert (bits(build_features(reordered, 1)) == bits(BATCH[:, -1:])).all()


def test_warmup_is_exact():
    grid = LONG.span(0, WARMUP)
    truth = build_features(grid, 1)
    assert (bits(build_features(changed(grid, 0), 1)) != bits(truth)).any(), "the oldest candle should matter"
    longer = LONG.span(0, WARMUP + 1)
    assert (bits(build_features(changed(longer, 0), 1)) == bits(build_features(longer, 1))).all()


def test_every_candle_feature_reads_the_newest_candle():
    """All but calendar features and profiles of coming slots change with the row's own candle."""
    grid = LONG.span(0, WARMUP)
    before = bits(build_features(grid, 1, FeatureSet()))
    moved = np.zeros(len(FEATURE_NAMES), dtype=bool)
    for other in (changed(grid, WARMUP - 1), inverted(grid, WARMUP - 1)):
        moved |= (bits(build_features(other, 1, FeatureSet())) != before)[0].any(axis=0)
    calendar = ("season", "week", "day_", "to_next", "new_york", "london", "tokyo", "weekend", "holiday", *RELEASES)
    assert [name for name in names_where(~moved) if not name.startswith(calendar)] == []


@pytest.mark.parametrize("after", [1, 2, 80])
def test_corrupting_the_future_changes_no_bit(after):
    row = 500
    future = LONG
    for position in range(WARMUP + row, WARMUP + row + after):
        future = changed(future, position, factor=5.0)
    assert (bits(build_features(future, 701))[:, : row + 1] == bits(BATCH)[:, : row + 1]).all()
    assert (bits(build_features(future, 701))[:, row + 1] != bits(BATCH)[:, row + 1]).any()


@pytest.mark.parametrize(("price", "volume"), [(10.0, 1.0), (1.0, 10.0), (1e-6, 1e6)])
def test_scale_of_prices_and_volumes_changes_no_feature(price, volume):
    columns = {name: getattr(LONG, name) * (volume if name == "volume" else price) for name in CANDLE_COLUMNS}
    scaled = build_features(CandleGrid(LONG.open_time, **columns), 701)
    np.testing.assert_allclose(scaled, BATCH, rtol=1e-5, atol=1e-5)


def test_a_hole_among_the_last_73_candles_blanks_the_row():
    hole = with_hole(LONG, len(LONG) - 200, len(LONG) - 199, markets=0)
    blank = np.isnan(build_features(hole, 201))
    assert blank.any(axis=2).tolist() == blank.all(axis=2).tolist()
    assert not blank[1].any()
    # The candle is missing at row 1; it is among the last 73 of rows 1 to 73.
    assert np.flatnonzero(blank[0].all(axis=1)).tolist() == list(range(1, 74))


def test_a_hole_of_16_candles_some_days_ago_gives_no_nan():
    for ago in (90, 300, 1000, 3900):
        hole = with_hole(LONG, len(LONG) - ago - 16, len(LONG) - ago)
        assert np.isfinite(build_features(hole, 10)).all(), ago


@pytest.mark.parametrize("ago", [73, 100, 206, 500, 2000, 4020])
def test_two_percent_of_the_window_missing_gives_no_nan_outside_the_last_73(ago):
    hole = with_hole(LONG, len(LONG) - ago - 82, len(LONG) - ago)
    assert np.isfinite(build_features(hole, 1)).all()


def test_a_candle_with_one_number_missing_is_a_hole():
    columns = {name: getattr(LONG, name).copy() for name in CANDLE_COLUMNS}
    columns["volume"][0, -1] = np.nan
    torn = build_features(CandleGrid(LONG.open_time, **columns), 2)
    assert np.isnan(torn[0, 1]).all()
    assert np.isfinite(torn[0, 0]).all()


def test_rows_around_a_hole_have_the_same_bits_live_and_in_batch():
    hole = with_hole(LONG, 4200, 4216)
    batch = build_features(hole, 701)
    for offset in (0, 90, 150, 170, 185, 186, 187, 400, 700):
        alone = build_features(hole.span(offset, offset + WARMUP), 1)
        assert (bits(alone[:, 0]) == bits(batch[:, offset])).all(), offset


def test_a_missing_day_gives_nan_until_two_thirds_of_a_day_follow():
    hole = with_hole(LONG, 4200, 4488)
    blank = np.isnan(build_features(hole, 701)[0]).all(axis=1)
    first_after = 4488 - WARMUP + 1
    assert blank[first_after - 1 : first_after + 190].all()
    assert not blank[first_after + 191 :].any()


def test_too_little_history_is_refused_with_the_numbers():
    with pytest.raises(FeatureError, match=f"need {WARMUP + 1} candles, there are {WARMUP}"):
        build_features(LONG.tail(WARMUP), 2)
    with pytest.raises(FeatureError, match="at least 1"):
        build_features(LONG, 0)


def test_a_market_that_never_moves_nor_trades_has_declared_values():
    ones = np.ones((1, WARMUP))
    flat = CandleGrid(LONG.open_time[:WARMUP], open=ones, high=ones, low=ones, close=ones, volume=0 * ones)
    row = dict(zip(FEATURE_NAMES, build_features(flat, 1)[0, 0], strict=True))
    assert all(np.isfinite(value) for value in row.values())
    quiet = [name for name in FEATURE_NAMES if name.startswith(("momentum", "efficiency", "volume", "body", "slope"))]
    assert {name: row[name] for name in quiet} == dict.fromkeys(quiet, 0.0)
    assert row["volatility_level"] == np.float32(np.log(1e-6))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flat_share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e7]),
    volume_scale=st.sampled_from([0.0, 1e-12, 1.0, 1e15]),
    jump=st.sampled_from([1.0, 1.5, 100.0, 1e-4]),
    holes=st.lists(st.tuples(st.integers(0, WARMUP + 1), st.integers(1, 400)), max_size=4),
)
def test_extreme_series_give_rows_all_finite_or_all_nan(seed, flat_share, scale, volume_scale, jump, holes):
    grid = walk(WARMUP + 2, markets=8, seed=seed, flat_share=flat_share, scale=scale)
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    columns["volume"] *= volume_scale
    at = np.random.default_rng(seed).integers(1, WARMUP + 2)
    for name in ("open", "high", "low", "close"):
        columns[name][:, at:] *= jump
    hostile = CandleGrid(grid.open_time, **columns)
    for start, length in holes:
        hostile = with_hole(hostile, start, start + length, markets=slice(0, 6))
    built = build_features(hostile, 3)
    blank = np.isnan(built)
    assert (blank.any(axis=2) == blank.all(axis=2)).all()
    assert not np.isinf(built).any()
    assert not blank[6:].any()
    assert (bits(build_features(hostile.span(1, WARMUP + 1), 1))[:, 0] == bits(built)[:, 1]).all()


def test_another_process_gives_the_same_bits_and_the_same_hash():
    script = (
        "import hashlib, sys; sys.path.insert(0, '.')\n"
        "from tests.indicators.series import walk\n"
        "from indicators.features import *\n"
        "print(FEATURE_HASH, hashlib.sha256(build_features(walk(WARMUP + 20, seed=9), 21).tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(outputs) == 1
    assert FEATURE_HASH in outputs.pop()
