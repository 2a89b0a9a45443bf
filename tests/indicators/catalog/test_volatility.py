import numpy as np
import pandas as pd
import pytest

from indicators.catalog.volatility import SIGMA_FLOOR, ewm_sigma
from tests.indicators.series import walk, with_hole


def by_pandas(grid, span):
    variance = np.log(grid.high[0] / grid.low[0]) ** 2 / (4 * np.log(2))
    return np.sqrt(pd.Series(variance).ewm(span=span).mean().to_numpy())


@pytest.mark.parametrize("span", [1, 12, 72, 288])
def test_sigma_equals_the_exponential_mean_of_pandas(span):
    grid = walk(6000, seed=2)
    np.testing.assert_allclose(ewm_sigma(grid, 6000, span=span)[0], by_pandas(grid, span), rtol=1e-9, atol=SIGMA_FLOOR)


def test_missing_candles_weigh_nothing_and_have_no_sigma():
    grid = with_hole(walk(2000, seed=4), 1500, 1516)
    sigma = ewm_sigma(grid, 2000)[0]
    np.testing.assert_array_equal(np.isnan(sigma), ~grid.present[0])
    np.testing.assert_allclose(sigma[grid.present[0]], by_pandas(grid, 72)[grid.present[0]], rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_sigma_has_the_same_bits_for_any_rows_and_any_long_enough_history(rows):
    grid = walk(3000, markets=2, seed=6)
    batch = ewm_sigma(grid, 1500)
    assert ewm_sigma(grid, rows).tobytes() == np.ascontiguousarray(batch[:, -rows:]).tobytes()
    short = grid.tail(1024 + rows - 1)
    assert ewm_sigma(short, rows).tobytes() == np.ascontiguousarray(batch[:, -rows:]).tobytes()


def test_a_flat_market_has_the_floor():
    grid = walk(100, flat_share=1.0)
    assert ewm_sigma(grid, 5).tolist() == [[SIGMA_FLOOR] * 5]


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="span"):
        ewm_sigma(walk(10), 1, span=0)
    with pytest.raises(ValueError, match="rows"):
        ewm_sigma(walk(10), 11)
