"""Blocks of any length give the same bits, and the operations of a window are those of the kernels."""

from itertools import islice, pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import FEATURE_NAMES, WARMUP, build_features, iter_features
from indicators.features.build import OWN, write_features
from indicators.features.families import candle_features
from indicators.features.stream import History, Stream
from indicators.kernels import WindowSums, window_max, window_min
from tests.indicators.series import bits, walk, with_hole

LONG = walk(WARMUP + 700, markets=2, seed=21)
N_CANDLES = len(OWN.candle_names)


def candles_of(grid):
    """Candles as a stream takes them, shape (5, T, m)."""
    return np.stack([getattr(grid, name).T for name in CANDLE_COLUMNS])


def written(window, built):
    """Write the features of a window, whatever the calendar."""
    write_features(window, np.zeros((built.shape[1], len(OWN.calendar_names)), dtype=np.float32), built)


def in_blocks(grid, sizes):
    """Features but the calendar of every candle, from blocks of these sizes and a last one of what is left."""
    candles, stream = candles_of(grid), Stream(grid.n_markets)
    built = np.zeros((grid.n_markets, len(grid), len(FEATURE_NAMES)), dtype=np.float32)
    bounds = [0, *np.minimum(np.cumsum(sizes, dtype=int), len(grid)).tolist(), len(grid)]
    for start, stop in pairwise(bounds):
        if stop > start:
            written(stream.feed(candles[:, start:stop]), built[:, start:stop])
    return built[:, :, :N_CANDLES]


def assert_bits_of_batch(grid, sizes):
    rows = len(grid) - WARMUP + 1
    different = (bits(in_blocks(grid, sizes)[:, -rows:]) != bits(build_features(grid, rows)[:, :, :N_CANDLES])).any(
        axis=(0, 1)
    )
    assert [FEATURE_NAMES[i] for i in np.flatnonzero(different)] == []


@pytest.mark.parametrize(
    "sizes",
    [[], [1], [WARMUP - 1, *[1] * 300], [1] * 400, [7] * 800, [1, 2, 3, 4096, 1, 1, 5], [288] * 20, [2000, 2000, *[1] * 50]],
    ids=["one", "first", "live", "from the first", "sevens", "mixed", "days", "then live"],
)  # fmt: skip
def test_blocks_have_the_bits_of_batch(sizes):
    assert_bits_of_batch(LONG, sizes)
    assert_bits_of_batch(with_hole(LONG, WARMUP + 100, WARMUP + 116, markets=[0]), sizes)


def test_a_market_that_never_moves_nor_trades_has_the_bits_of_batch():
    ones = np.ones((1, WARMUP + 50))
    times = LONG.open_time[: WARMUP + 50]
    assert_bits_of_batch(
        CandleGrid(times, open=ones, high=ones, low=ones, close=ones, volume=0 * ones), [WARMUP, 1, 1, 9]
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flat_share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    scale=st.sampled_from([1e-9, 1e-3, 1.0, 1e7]),
    volume_scale=st.sampled_from([0.0, 1e-12, 1.0, 1e15]),
    jump=st.sampled_from([1.0, 1.5, 100.0, 1e-4]),
    rows=st.integers(1, 500),
    sizes=st.lists(st.one_of(st.integers(1, 3), st.integers(1, 3000)), max_size=60),
    late=st.integers(0, WARMUP + 200),
    holes=st.lists(
        st.tuples(st.integers(0, WARMUP + 499), st.integers(1, 400), st.sets(st.integers(0, 2), min_size=1)), max_size=4
    ),
)
def test_random_blocks_of_hostile_series_have_the_bits_of_batch(
    seed, flat_share, scale, volume_scale, jump, rows, sizes, late, holes
):
    """With holes, and with a market that starts late."""
    grid = walk(WARMUP + rows, markets=3, seed=seed, flat_share=flat_share, scale=scale)
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    columns["volume"] *= volume_scale
    at = np.random.default_rng(seed).integers(1, WARMUP + rows)
    for name in ("open", "high", "low", "close"):
        columns[name][:, at:] *= jump
    hostile = with_hole(CandleGrid(grid.open_time, **columns), 0, late, markets=[2])
    for start, length, markets in holes:
        hostile = with_hole(hostile, start, start + length, markets=sorted(markets))
    assert_bits_of_batch(hostile, sizes)


def test_a_stream_that_starts_late_has_the_rows_of_a_market_that_does():
    """Rows are finite as soon as two thirds of the longest window are there, whatever was before."""
    late = with_hole(LONG, 0, 1000)
    alone = in_blocks(late.span(1000, len(late)), [50] * 200)
    rows = len(late) - WARMUP + 1
    assert np.isfinite(alone[:, -rows:]).all()
    assert (bits(alone[:, -rows:]) == bits(build_features(late, rows)[:, :, :N_CANDLES])).all()


@pytest.mark.parametrize(("count", "rows"), [(60, 50), (61, 3), (63, 53)])
def test_some_features_alone_have_the_same_bits(count, rows):
    stream, candles = Stream(2), candles_of(LONG)
    for block in (slice(0, WARMUP), slice(WARMUP, None)):
        found = [values for _, values in islice(candle_features(stream.feed(candles[:, block])), count)]
    alone = np.stack(found, axis=-1)[-rows:].swapaxes(0, 1).astype(np.float32)
    assert (bits(alone) == bits(build_features(LONG, rows)[:, :, :count])).all()


@pytest.mark.parametrize("size", [1, 5, 300])
def test_operations_have_the_bits_of_the_kernels(size):
    """Sums, decayed sums and extremes of blocks, against those of the whole series at once."""
    generator = np.random.default_rng(5)
    series, rows = generator.normal(size=(2, 600)), 300
    grid = CandleGrid(LONG.open_time[:600], *np.exp(np.stack([series] * 5)))
    stream, found = Stream(2), []
    for start in range(0, 600, size):
        window = stream.feed(candles_of(grid.span(start, start + size)))
        values = window.series("values", lambda start=start: np.ascontiguousarray(series[:, start : start + size].T))
        found.append(
            np.stack(
                [
                    window.total(values, 13),
                    window.total(values, 72, lag=36),
                    window.decayed_mean(values, 6),
                    window.highest(values, 36),
                    window.lowest(values, 37),
                    window.largest(values, 1),
                ]
            )
        )
    decay = 0.5 ** (1 / 6)
    expected = [
        WindowSums(series, rows).total(13),
        WindowSums(series, rows).total(72, 36),
        WindowSums(series, rows, decay).total(32) / WindowSums(np.ones(series.shape), rows, decay).total(32),
        window_max(series, 36, rows),
        window_min(series, 37, rows),
        series[:, -rows:],
    ]
    assert (np.concatenate(found, axis=1)[:, -rows:] == np.stack(expected).swapaxes(1, 2)).all()


def test_a_market_is_replaced_by_a_stream_of_its_own():
    stream, alone = Stream(2), Stream(1)
    mixed = with_hole(LONG, 500, 600, markets=[1])
    built = np.empty((2, 1, len(FEATURE_NAMES)), dtype=np.float32)
    for block in (slice(0, 4000), slice(4000, 4001)):
        written(stream.feed(candles_of(mixed)[:, block]), built[:, :0])
    written(alone.feed(candles_of(LONG.select(1))[:, :4001]), built[:1, :0])
    stream.put(1, alone)
    for position in range(4001, len(LONG)):
        written(stream.feed(candles_of(LONG)[:, position : position + 1]), built)
    assert (bits(built[:, 0, :N_CANDLES]) == bits(build_features(LONG, 1)[:, 0, :N_CANDLES])).all()


@pytest.mark.parametrize("size", [1, 40])
def test_trimming_changes_no_bit(size):
    stream, candles = Stream(2), candles_of(LONG)
    built = np.empty((2, size, len(FEATURE_NAMES)), dtype=np.float32)
    for start in (0, WARMUP, *range(WARMUP + 300, len(LONG), size)):
        stop = {0: WARMUP, WARMUP: WARMUP + 300}.get(start, start + size)
        written(stream.feed(candles[:, start:stop]), built)
        stream.trim()
        stream.trim()
    assert (bits(built[:, -1, :N_CANDLES]) == bits(build_features(LONG, 1)[:, 0, :N_CANDLES])).all()


def test_candles_of_other_markets_and_windows_left_unfinished_are_refused():
    stream = Stream(2)
    for shape in ((5, 3, 1), (4, 3, 2), (5, 2)):
        with pytest.raises(FeatureError, match="2 markets"):
            stream.feed(np.ones(shape))
    for _ in candle_features(stream.feed(np.ones((5, 3, 2)))):
        pass
    next(candle_features(stream.feed(np.ones((5, 1, 2)))))
    for go_on in (lambda: stream.feed(np.ones((5, 1, 2))), stream.trim):
        with pytest.raises(FeatureError, match="cannot go on"):
            go_on()


@pytest.mark.parametrize("count", [0, 1])
def test_a_first_window_left_unfinished_is_seen_at_the_next(count):
    stream = Stream(1)
    for _ in islice(candle_features(stream.feed(np.ones((5, 3, 1)))), count):
        pass
    with pytest.raises(FeatureError, match="has learned to look back at"):
        list(candle_features(stream.feed(np.ones((5, 3, 1)))))


@pytest.mark.parametrize("size", [1, 4])
def test_a_history_keeps_what_its_first_block_read_and_no_more(size):
    history = History()
    history.append(np.arange(3.0)[:, None])
    assert history.before(2).ravel().tolist() == [0, 0, 0]
    assert history.before(1).ravel().tolist() == [0, 0, 1]
    for start in range(3, 30, size):
        history.append(np.arange(start, start + size, dtype=float)[:, None])
        assert history.before(2).ravel().tolist() == list(range(start - 2, start - 2 + size))
    with pytest.raises(FeatureError, match="3 values are kept"):
        history.before(3)


@pytest.mark.candles
@pytest.mark.slow
def test_years_of_real_candles_have_the_same_bits_in_any_blocks(candles_folder):
    files = [candles_folder / f"{symbol}-5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    grid = CandleGrid.stack([CandleGrid.from_frame(pd.read_parquet(file)) for file in files])
    assert not grid.present.all()
    whole = build_features(grid, len(grid) - WARMUP + 1)
    for rows, block in iter_features(grid, 1_237):
        assert (bits(block) == bits(whole[:, rows.start - WARMUP + 1 : rows.stop - WARMUP + 1])).all()
