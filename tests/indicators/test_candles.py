import numpy as np
import pandas as pd
import pytest

from indicators.candles import CANDLE_COLUMNS, INTERVAL_MS, CandleGrid
from indicators.errors import FeatureError
from tests.indicators.series import walk


def columns_of(n):
    return {name: np.arange(1.0, n + 1) for name in CANDLE_COLUMNS}


def test_holes_become_candles_of_nan():
    grid = CandleGrid.from_columns([0, 2 * INTERVAL_MS, 3 * INTERVAL_MS], columns_of(3))
    assert len(grid) == 4
    assert grid.present.tolist() == [[True, False, True, True]]
    assert np.isnan(grid.volume[0, 1])
    assert np.isnan(grid.open[0, 1])


def test_frame_and_columns_give_the_same_grid():
    frame = pd.DataFrame({"open_time": [0, INTERVAL_MS], **columns_of(2)})
    grid = CandleGrid.from_frame(frame)
    assert grid.close.tolist() == CandleGrid.from_columns([0, INTERVAL_MS], columns_of(2)).close.tolist()
    assert grid.n_markets == 1


@pytest.mark.parametrize("times", [[0, 1], [INTERVAL_MS, 0], [0, 0]])
def test_times_that_are_unaligned_or_do_not_increase_are_refused(times):
    with pytest.raises(FeatureError):
        CandleGrid.from_columns(times, columns_of(2))


def test_a_missing_column_is_named():
    with pytest.raises(FeatureError, match="volume"):
        CandleGrid.from_columns([0], {name: [1.0] for name in ("open", "high", "low", "close")})


def test_shapes_that_disagree_are_refused():
    ones = np.ones((1, 2))
    with pytest.raises(FeatureError, match="volume"):
        CandleGrid(np.array([0, INTERVAL_MS]), open=ones, high=ones, low=ones, close=ones, volume=np.ones((1, 3)))
    with pytest.raises(FeatureError, match="apart"):
        CandleGrid(np.array([0, 2 * INTERVAL_MS]), open=ones, high=ones, low=ones, close=ones, volume=ones)


def test_stack_puts_markets_on_one_axis():
    early, late = walk(5), walk(4, start_ms=walk(5).open_time[3])
    both = CandleGrid.stack([early, late])
    assert both.close.shape == (2, 7)
    assert both.present.sum(axis=1).tolist() == [5, 4]
    assert both.select(1).tail(4).close.tolist() == late.close.tolist()
    with pytest.raises(FeatureError, match="no candles"):
        CandleGrid.stack([])


def test_an_empty_grid_has_no_length():
    assert len(CandleGrid.from_columns([], {name: [] for name in CANDLE_COLUMNS})) == 0
