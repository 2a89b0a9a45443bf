"""The compiled loops give the bits of the NumPy batch, which serves live and is the reference."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import FEATURE_NAMES, WARMUP, build_features, iter_features
from indicators.features import compiled as loops
from indicators.features.operations import Code
from indicators.features.tape import TILE, feature_tape
from tests.indicators.series import bits, walk, with_hole

LONG = walk(WARMUP + 2 * TILE + 100, markets=2, seed=21)


def assert_bits_of_numpy(grid, rows):
    reference, found = build_features(grid, rows), build_features(grid, rows, by_loops=True)
    different = (bits(found) != bits(reference)).any(axis=(0, 1))
    assert [FEATURE_NAMES[i] for i in np.flatnonzero(different)] == []


@pytest.mark.parametrize("rows", [1, 2, 17, TILE - 1, TILE, TILE + 1, 2 * TILE + 101])
def test_any_number_of_rows_has_the_bits_of_numpy(rows):
    assert_bits_of_numpy(LONG, rows)


def test_holes_have_the_bits_of_numpy():
    hole = with_hole(LONG, WARMUP + 100, WARMUP + 116, markets=[0])
    assert_bits_of_numpy(with_hole(hole, 10, 900, markets=[1]), 2 * TILE + 101)
    assert_bits_of_numpy(with_hole(LONG, 0, len(LONG), markets=[0]), 300)


def test_a_market_that_never_moves_nor_trades_has_the_bits_of_numpy():
    ones = np.ones((1, WARMUP + 50))
    times = LONG.open_time[: WARMUP + 50]
    assert_bits_of_numpy(CandleGrid(times, open=ones, high=ones, low=ones, close=ones, volume=0 * ones), 51)


def test_memory_order_of_the_columns_changes_no_bit():
    columns = {name: np.asfortranarray(getattr(LONG, name)) for name in CANDLE_COLUMNS}
    for column in columns.values():
        column.setflags(write=False)
    assert_bits_of_numpy(CandleGrid(LONG.open_time, **columns), 100)


def test_rows_cut_among_threads_have_the_same_bits(monkeypatch):
    hole = with_hole(LONG, WARMUP + 100, WARMUP + 116, markets=[0])
    seen = []
    monkeypatch.setattr(loops, "PART_ROWS", 500)
    monkeypatch.setattr(loops.os, "sched_getaffinity", lambda _: range(5), raising=False)
    monkeypatch.setattr(loops, "_run", lambda *given, run=loops._run: (seen.append(len(given[3])), run(*given)))
    assert_bits_of_numpy(hole, 2 * TILE + 101)
    assert len(seen) == 2 * 5
    assert sum(seen) == 2 * (2 * TILE + 101)


def test_iterating_gives_the_same_parts():
    pairs = zip(iter_features(LONG, 700), iter_features(LONG, 700, by_loops=True), strict=True)
    assert all(one[0] == other[0] and (bits(one[1]) == bits(other[1])).all() for one, other in pairs)


@pytest.mark.parametrize(("columns", "rows"), [(60, 50), (61, 3), (63, 53)])
def test_some_columns_alone_have_the_same_bits(columns, rows):
    wide = np.zeros((rows, columns + 3), dtype=np.float32)
    loops.fill(wide, LONG.tail(WARMUP + rows - 1), 1, columns)
    assert (bits(wide[:, :columns]) == bits(build_features(LONG, rows)[1, :, :columns])).all()
    assert not wide[:, columns:].any()


def test_what_does_not_fit_is_refused_before_compiled_code_sees_it():
    block = np.empty((50, feature_tape(True).n_features), dtype=np.float32)
    with pytest.raises(ValueError, match="50 rows need"):
        loops.fill(block, LONG, 0)
    with pytest.raises(ValueError, match="of a market"):
        loops.fill(block, LONG.tail(WARMUP + 49), 2)
    with pytest.raises(ValueError, match="do not fit"):
        loops.fill(np.asfortranarray(block), LONG.tail(WARMUP + 49), 0)
    with pytest.raises(ValueError, match="do not fit"):
        loops.fill(block[:, 1:], LONG.tail(WARMUP + 49), 0)


def test_no_step_overwrites_what_it_reads_or_leaves_the_memory():
    """What overlaps cannot be computed several values at a time, and compiled code does not look where it reads."""
    for complete in (True, False):
        tape = feature_tape(complete).tape
        for segment in tape.segments:
            steps = segment.instructions
            moved = np.isin(steps[:, 0], [Code.RECALL, Code.REMEMBER])
            assert (steps[~moved, 2:] != steps[~moved, 1:2]).all()
            assert (steps[~moved, 1:] + np.uint64(TILE) <= tape.length).all()
            assert (steps[moved, 1] + steps[moved, 3] + np.uint64(TILE) <= tape.length).all()


def test_what_is_remembered_is_recalled_before_the_row_it_belongs_to_is_written():
    for complete in (True, False):
        for segment in feature_tape(complete).tape.segments:
            steps = segment.instructions.tolist()
            for before, (code, place, store, depth, *_) in enumerate(steps):
                if code == Code.RECALL:
                    after = next(at for at in range(before, len(steps)) if steps[at][0] == Code.REMEMBER)
                    assert steps[after][1:4] == [store, place, depth]
                    assert {step[1] for step in steps[before + 1 : after]} <= {place + depth}


def test_no_product_is_fused_with_a_sum():
    """A fused one is rounded once, NumPy's twice."""
    for compiled in loops._loops():
        code = " ".join(compiled.inspect_asm().values()).lower()
        assert not [word for word in ("fmadd", "fmla", "fmsub", "fmls") if word in code]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flat_share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e7]),
    volume_scale=st.sampled_from([0.0, 1e-12, 1.0, 1e15]),
    jump=st.sampled_from([1.0, 1.5, 100.0, 1e-4]),
    rows=st.integers(1, 900),
    holes=st.lists(st.tuples(st.integers(0, WARMUP + 899), st.integers(1, 400)), max_size=4),
)
def test_hostile_series_have_the_bits_of_numpy(seed, flat_share, scale, volume_scale, jump, rows, holes):
    grid = walk(WARMUP + rows, markets=2, seed=seed, flat_share=flat_share, scale=scale)
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    columns["volume"] *= volume_scale
    at = np.random.default_rng(seed).integers(1, WARMUP + rows)
    for name in ("open", "high", "low", "close"):
        columns[name][:, at:] *= jump
    hostile = CandleGrid(grid.open_time, **columns)
    for start, length in holes:
        hostile = with_hole(hostile, start, start + length, markets=[0])
    assert_bits_of_numpy(hostile, rows + 1)


@pytest.mark.candles
@pytest.mark.slow
def test_years_of_real_candles_have_the_bits_of_numpy(candles_folder):
    files = [candles_folder / f"{symbol}-5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    grid = CandleGrid.stack([CandleGrid.from_frame(pd.read_parquet(file)) for file in files])
    assert not grid.present.all()
    assert_bits_of_numpy(grid, len(grid) - WARMUP + 1)
