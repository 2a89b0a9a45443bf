"""The compiled loops compared with slow ones in NumPy (bit for bit) and in Python."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.barriers import Touch, Touches, first_touch
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.lookahead import judge_brackets, judge_rows
from tests.indicators.series import walk, with_hole

FIELDS = [field.name for field in dataclasses.fields(Touches)]


def by_windows(grid, horizon, *, side, take_profit, stop_loss):
    """Outcomes of all windows by `first_touch`."""
    shape = grid.close.shape
    judged = Touches(
        np.full(shape, Touch.UNKNOWN, dtype=np.int8),
        np.zeros(shape, dtype=np.int64),
        np.full(shape, np.nan),
        np.full(shape, np.nan),
        np.zeros(shape, dtype=np.bool_),
    )
    for market in range(shape[0] if shape[1] > horizon else 0):
        prices = (getattr(grid, name)[market, 1:] for name in ("open", "high", "low", "close"))
        one = first_touch(
            *(np.lib.stride_tricks.sliding_window_view(column, horizon) for column in prices),
            side=side,
            take_profit=take_profit[market, :-horizon],
            stop_loss=stop_loss[market, :-horizon],
        )
        for name in FIELDS:
            getattr(judged, name)[market, :-horizon] = getattr(one, name)
    return judged


def by_candles(grid, market, t, horizon, side, take_profit, stop_loss):
    window = slice(t + 1, t + 1 + horizon)
    opens, highs, lows = grid.open[market, window], grid.high[market, window], grid.low[market, window]
    if len(opens) < horizon or not np.isfinite(opens).all() or not np.isfinite([take_profit, stop_loss]).all():
        return Touch.UNKNOWN, 0
    rising = side == "buy"

    def gained(high, low):
        return high >= take_profit if rising else low <= take_profit

    def lost(high, low):
        return low <= stop_loss if rising else high >= stop_loss

    if gained(opens[0], opens[0]) or lost(opens[0], opens[0]):
        return Touch.VOID, 0
    for k in range(horizon):
        if lost(highs[k], lows[k]):
            return Touch.STOP_LOSS, k + 1
        if gained(highs[k], lows[k]):
            return Touch.TAKE_PROFIT, k + 1
    return Touch.NEITHER, horizon


def assert_same_bits(found, expected):
    for name in FIELDS:
        left, right = getattr(found, name), getattr(expected, name)
        assert left.dtype == right.dtype, name
        assert left.tobytes() == right.tobytes(), name


def on_ticks(grid, tick):
    """Prices rounded to coarse steps, so that levels are often reached exactly."""
    columns = {name: np.round(getattr(grid, name) / tick) * tick for name in CANDLE_COLUMNS}
    return CandleGrid(grid.open_time, **columns)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizon=st.sampled_from([1, 2, 6, 18, 72]),
    side=st.sampled_from(["buy", "sell"]),
    ticks=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    tick=st.sampled_from([1.0, 20.0, 100.0]),
    holes=st.lists(st.tuples(st.integers(0, 89), st.integers(1, 3)), max_size=3),
    column=st.sampled_from(["all", "open", "high", "low", "close"]),
    blank=st.integers(0, 89),
)
def test_bits_equal_the_slow_loops(seed, horizon, side, ticks, tick, holes, column, blank):
    grid = on_ticks(walk(90, markets=2, seed=seed), tick)
    for start, length in holes:
        if column == "all":
            grid = with_hole(grid, start, start + length, markets=1)
        else:
            getattr(grid, column)[1, start : start + length] = np.nan if length > 1 else np.inf
    sign = 1 if side == "buy" else -1
    levels = {"take_profit": grid.close + sign * ticks[0] * tick, "stop_loss": grid.close - sign * ticks[1] * tick}
    levels["take_profit"][0, blank] = np.nan
    found = judge_brackets(grid, horizon, side=side, **levels)
    assert_same_bits(found, by_windows(grid, horizon, side=side, **levels))
    if column == "all":
        for market in range(2):
            for t in range(0, 90, 7):
                expected = by_candles(grid, market, t, horizon, side, *(level[market, t] for level in levels.values()))
                assert (found.outcome[market, t], found.candles[market, t]) == expected


def test_the_test_candles_include_every_outcome_and_both_levels_at_once():
    grid = on_ticks(walk(4000, seed=1), 20.0)
    reach = np.where(np.arange(4000) % 10, 40.0, 0.0)
    found = judge_brackets(grid, 6, side="buy", take_profit=grid.close + reach, stop_loss=grid.close - reach)
    assert set(found.outcome[0]) == set(Touch)
    assert found.ambiguous.any()
    assert (found.outcome[found.ambiguous] == Touch.STOP_LOSS).all()


def test_chosen_rows_are_judged_like_the_whole_grid():
    grid = with_hole(walk(200, markets=3, seed=4), 80, 82, markets=2)
    generator = np.random.default_rng(0)
    market, position = generator.integers(0, 3, 150).astype(np.int16), generator.integers(0, 200, 150)
    take_profit, stop_loss = grid.close * 1.003, grid.close * 0.998
    whole = judge_brackets(grid, 18, side="buy", take_profit=take_profit, stop_loss=stop_loss)
    chosen = take_profit[market, position], stop_loss[market, position]
    found = judge_rows(grid, market, position, 18, side="buy", take_profit=chosen[0], stop_loss=chosen[1])
    assert_same_bits(found, Touches(*(getattr(whole, name)[market, position] for name in FIELDS)))


def test_strided_and_read_only_candles_are_supported():
    grid = walk(200, markets=2, seed=3)
    strided = {name: np.repeat(getattr(grid, name), 2, axis=1)[:, ::2] for name in CANDLE_COLUMNS}
    for column in strided.values():
        column.setflags(write=False)
    levels = {"take_profit": grid.close * 0.997, "stop_loss": grid.close * 1.002}
    found = judge_brackets(CandleGrid(grid.open_time, **strided), 18, side="sell", **levels)
    assert_same_bits(found, judge_brackets(grid, 18, side="sell", **levels))


def test_a_grid_shorter_than_the_horizon_is_unknown_throughout():
    grid = walk(5)
    found = judge_brackets(grid, 6, side="buy", take_profit=grid.close * 2, stop_loss=grid.close / 2)
    assert (found.outcome == Touch.UNKNOWN).all()
    assert np.isnan(found.entry).all()


def test_invalid_arguments_are_refused_before_compiled_code_runs():
    grid = walk(20)
    one = np.array([1.0])
    with pytest.raises(ValueError, match="buy or sell"):
        judge_brackets(grid, 6, side="hold", take_profit=grid.close * 2, stop_loss=grid.close / 2)
    for market, position in ((0, 20), (0, -1), (1, 3), (-1, 3)):
        with pytest.raises(ValueError, match="outside the grid"):
            judge_rows(grid, np.array([market]), np.array([position]), 6, side="buy", take_profit=one, stop_loss=one)
    with pytest.raises(ValueError, match="one level per row"):
        judge_rows(grid, np.array([0]), np.array([1]), 6, side="buy", take_profit=one, stop_loss=np.ones(2))
