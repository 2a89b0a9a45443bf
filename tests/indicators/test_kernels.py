import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indicators.kernels import WindowSums, window_max, window_min


@given(st.integers(1, 200), st.integers(0, 20), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_window_sum_equals_the_slow_sum(window, lag, rows, seed):
    series = np.random.default_rng(seed).normal(size=(2, window + lag + rows + 3))
    sums = WindowSums(series, rows).total(window, lag)
    n = series.shape[1]
    slow = [[s[n - rows + r - lag - window + 1 : n - rows + r - lag + 1].sum() for r in range(rows)] for s in series]
    np.testing.assert_allclose(sums, slow, atol=1e-12)


@given(st.integers(1, 300), st.integers(0, 40), st.floats(0.5, 1.0), st.integers(0, 2**32 - 1))
def test_one_row_alone_has_the_bits_of_a_row_in_batch(window, extra, decay, seed):
    series = np.random.default_rng(seed).lognormal(size=(3, window + extra + 7))
    batch = WindowSums(series, 8 + extra, decay).total(window)
    for row in (0, 3, 7 + extra):
        alone = WindowSums(series[:, row : row + window], 1, decay).total(window)
        assert alone.tobytes() == np.ascontiguousarray(batch[:, row : row + 1]).tobytes()


@given(st.integers(0, 6), st.floats(0.3, 0.99))
def test_decayed_sum_and_its_weight_equal_the_slow_ones(power, decay):
    window = 1 << power
    series = np.arange(1.0, window + 4)[None]
    weights = decay ** np.arange(window)[::-1]
    found = WindowSums(series, 2, decay).total(window)
    np.testing.assert_allclose(found[0], [series[0, 2:-1] @ weights, series[0, 3:] @ weights])
    assert WindowSums(np.ones((1, window)), 1, decay).total(window)[0, 0] == pytest.approx(weights.sum())


@given(st.integers(1, 80), st.integers(1, 20), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_window_extremes_equal_the_slow_ones(window, rows, lag, seed):
    series = np.random.default_rng(seed).normal(size=(2, window + rows + lag + 1))
    stop = series.shape[1] - lag
    slow = np.stack([series[:, stop - rows + r - window + 1 : stop - rows + r + 1].max(axis=1) for r in range(rows)], 1)
    np.testing.assert_array_equal(window_max(series, window, rows, lag), slow)
    np.testing.assert_array_equal(window_min(-series, window, rows, lag), -slow)


def test_a_series_too_short_for_its_window_is_refused():
    with pytest.raises(ValueError, match="longer series"):
        WindowSums(np.zeros((1, 7)), 1).total(8)
    with pytest.raises(ValueError, match="longer series"):
        WindowSums(np.zeros((1, 9)), 3).total(8)
    with pytest.raises(ValueError, match="longer series"):
        window_max(np.zeros((1, 7)), 8, 1)
