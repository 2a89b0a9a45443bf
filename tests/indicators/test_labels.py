import numpy as np
import pytest

from indicators.barriers import Touch
from indicators.labels import Direction, future_range, label_end, three_way_label
from indicators.lookahead import judge_brackets
from tests.indicators.series import changed, walk, with_hole

HORIZONS = (1, 6, 18, 36, 72)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_future_range_equals_the_slow_one_and_its_end_is_unlabelled(horizon):
    grid = walk(300, markets=2, seed=1)
    log_high, log_low = future_range(grid, horizon)
    for t in (0, 5, 299 - horizon):
        ahead = slice(t + 1, t + 1 + horizon)
        np.testing.assert_allclose(log_high[:, t], np.log(grid.high[:, ahead].max(axis=1) / grid.close[:, t]))
        np.testing.assert_allclose(log_low[:, t], np.log(grid.close[:, t] / grid.low[:, ahead].min(axis=1)))
    assert np.isfinite(log_high[:, :-horizon]).all()
    assert np.isnan(log_high[:, -horizon:]).all()
    assert np.isnan(log_low[:, -horizon:]).all()


def test_a_missing_candle_unlabels_its_row_and_every_window_that_holds_it():
    log_high, log_low = future_range(with_hole(walk(50), 20, 21), 6)
    blank = np.flatnonzero(np.isnan(log_high[0, :44]))
    assert blank.tolist() == [14, 15, 16, 17, 18, 19, 20]
    assert np.flatnonzero(np.isnan(log_low[0, :44])).tolist() == blank.tolist()


def test_a_grid_shorter_than_the_horizon_has_no_labels():
    log_high, _ = future_range(walk(5), 6)
    assert np.isnan(log_high).all()


@pytest.mark.parametrize("horizon", [6, 18])
def test_changing_a_candle_changes_no_label_after_it_nor_any_that_ended_before(horizon):
    grid = walk(120, seed=8)
    moved = changed(grid, 60, factor=3.0)
    width = np.full(grid.close.shape, 0.003)
    pairs = [
        (future_range(grid, horizon)[0], future_range(moved, horizon)[0]),
        (
            three_way_label(grid, horizon, width=width, costs=0.0)[0],
            three_way_label(moved, horizon, width=width, costs=0.0)[0],
        ),
    ]
    for before, after in pairs:
        differs = np.flatnonzero(~((before == after) | (np.isnan(before * 1.0) & np.isnan(after * 1.0)))[0])
        assert len(differs)
        assert differs.min() >= 60 - horizon
        assert differs.max() <= 60


def test_brackets_around_the_close_for_both_sides():
    grid = walk(400, seed=5)
    for side, sign in (("buy", 1), ("sell", -1)):
        profit, loss = grid.close * np.exp(sign * 0.002), grid.close * np.exp(-sign * 0.002)
        touches = judge_brackets(grid, 18, side=side, take_profit=profit, stop_loss=loss)
        outcome, candles = touches.outcome, touches.candles
        counted = np.bincount(outcome[0, :-18], minlength=3)
        assert (counted[:3] > 0).all()
        assert (outcome[0, -18:] == Touch.UNKNOWN).all()
        touched = (outcome == Touch.TAKE_PROFIT) | (outcome == Touch.STOP_LOSS)
        assert candles[touched].min() >= 1
        assert candles[touched].max() <= 18


def test_three_way_labels_follow_the_first_barrier_and_the_costs():
    grid = walk(400, seed=7)
    width = np.full(grid.close.shape, 0.004)
    free, _ = three_way_label(grid, 18, width=width, costs=0.0)
    dear, _ = three_way_label(grid, 18, width=width, costs=0.003)
    never, _ = three_way_label(grid, 18, width=width, costs=1.0)
    known = free != Direction.UNKNOWN
    assert (free == Direction.BUY).any()
    assert (free == Direction.SELL).any()
    assert (dear == Direction.HOLD).sum() > (free == Direction.HOLD).sum()
    assert (never[known] == Direction.HOLD).all()
    assert (dear[known & (dear != Direction.HOLD)] == free[known & (dear != Direction.HOLD)]).all()
    assert (free[:, -18:] == Direction.UNKNOWN).all()


def test_a_label_ends_with_the_close_of_its_last_candle():
    assert label_end(np.array([0, 300_000]), 1).tolist() == [600_000, 900_000]
