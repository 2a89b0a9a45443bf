import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.barriers import Touch, first_touch, judge_brackets
from tests.indicators.series import walk, with_hole


def judge(side, take_profit, stop_loss, *candles):
    """One window of (open, high, low, close) candles."""
    opens, highs, lows, closes = (np.array([column], dtype=float) for column in zip(*candles, strict=True))
    return first_touch(
        opens, highs, lows, closes, side=side, take_profit=np.array([take_profit]), stop_loss=np.array([stop_loss])
    )


QUIET = (100, 101, 99, 100)


@pytest.mark.parametrize(
    ("side", "take_profit", "stop_loss", "candles", "outcome", "length", "reached"),
    [
        ("buy", 102, 98, [QUIET, (100, 102, 99.5, 101)], Touch.TAKE_PROFIT, 2, 102),
        ("buy", 102, 98, [QUIET, (100, 101, 98, 99)], Touch.STOP_LOSS, 2, 98),
        ("sell", 98, 102, [QUIET, (100, 101, 98, 99)], Touch.TAKE_PROFIT, 2, 98),
        ("sell", 98, 102, [QUIET, (100, 102, 99.5, 101)], Touch.STOP_LOSS, 2, 102),
        ("buy", 102, 98, [QUIET, QUIET, (100, 101, 99, 100.5)], Touch.NEITHER, 3, 100.5),
        ("buy", 102, 98, [(100, 103, 97, 100), QUIET], Touch.STOP_LOSS, 1, 98),
        ("sell", 98, 102, [(100, 103, 97, 100), QUIET], Touch.STOP_LOSS, 1, 102),
    ],
)
def test_outcome_by_hand(side, take_profit, stop_loss, candles, outcome, length, reached):
    found = judge(side, take_profit, stop_loss, *candles)
    assert (Touch(found.outcome[0]), found.candles[0], found.exit[0]) == (outcome, length, reached)
    assert found.entry[0] == 100


def test_both_levels_in_one_candle_is_a_stop_loss_and_is_marked():
    assert judge("buy", 102, 98, (100, 103, 97, 100)).ambiguous.tolist() == [True]
    assert judge("buy", 102, 98, (100, 103, 99, 100), (100, 103, 97, 100)).ambiguous.tolist() == [False]


@pytest.mark.parametrize(
    ("side", "levels"), [("buy", (100, 98)), ("buy", (102, 100)), ("sell", (100, 102)), ("sell", (98, 99.5))]
)
def test_a_level_already_passed_at_the_open_is_void(side, levels):
    found = judge(side, *levels, QUIET)
    assert Touch(found.outcome[0]) == Touch.VOID
    assert np.isnan(found.exit[0])
    assert np.isnan(found.gross_return(side)[0])


def test_a_hole_or_a_missing_level_is_unknown_even_after_a_touch():
    hole = (np.nan,) * 4
    assert judge("buy", 102, 98, (100, 103, 99, 100), hole).outcome.tolist() == [Touch.UNKNOWN]
    assert judge("buy", np.nan, 98, QUIET).outcome.tolist() == [Touch.UNKNOWN]


def test_gross_return_has_the_sign_of_the_side():
    assert judge("buy", 102, 98, (100, 102, 99, 101)).gross_return("buy")[0] == pytest.approx(0.02)
    assert judge("sell", 98, 102, (100, 102, 99, 101)).gross_return("sell")[0] == pytest.approx(-0.02)


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="buy or sell"):
        judge("hold", 102, 98, QUIET)


def slow(grid, market, t, horizon, side, take_profit, stop_loss):
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


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizon=st.sampled_from([1, 2, 6, 18]),
    side=st.sampled_from(["buy", "sell"]),
    reward=st.floats(0.0, 0.01),
    risk=st.floats(0.0, 0.01),
    chunk=st.sampled_from([1, 7, 4096]),
)
def test_judging_a_grid_equals_the_slow_loop(seed, horizon, side, reward, risk, chunk):
    grid = with_hole(walk(60, markets=2, seed=seed), 30, 32, markets=1)
    sign = 1 if side == "buy" else -1
    take_profit, stop_loss = grid.close * (1 + sign * reward), grid.close * (1 - sign * risk)
    found = judge_brackets(grid, horizon, side=side, take_profit=take_profit, stop_loss=stop_loss, chunk=chunk)
    for market in range(2):
        for t in range(60):
            expected = slow(grid, market, t, horizon, side, take_profit[market, t], stop_loss[market, t])
            assert (found.outcome[market, t], found.candles[market, t]) == expected


def test_a_grid_shorter_than_the_horizon_is_unknown_throughout():
    grid = walk(5)
    found = judge_brackets(grid, 6, side="buy", take_profit=grid.close * 2, stop_loss=grid.close / 2)
    assert (found.outcome == Touch.UNKNOWN).all()
