"""Forecasts are ordered, nested and finite for any estimator output."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.evaluation.metrics.scores import pinball

HORIZONS = (6, 18, 36, 72)
distances = arrays(np.float64, (3, 4, 7), elements=st.floats(-0.5, 0.5))


@given(distances, distances)
def test_any_distances_become_a_coherent_forecast(up, down):
    close = np.array([1.0, 100.0, 5e4])
    forecast = RangeForecast.from_distances(HORIZONS, close, up, down)
    for prices in (forecast.high, forecast.low):
        assert np.isfinite(prices).all()
        assert (np.diff(prices, axis=2) >= 0).all()
    assert (forecast.high >= close[:, None, None]).all()
    assert (forecast.low <= close[:, None, None]).all()
    assert (np.diff(forecast.high, axis=1) >= 0).all()
    assert (np.diff(forecast.low, axis=1) <= 0).all()


@given(arrays(np.float64, (20, 1, 7), elements=st.floats(0, 0.5)), st.floats(0, 0.5))
def test_ordering_never_costs_pinball_loss(up, actual):
    coherent = RangeForecast.from_distances((6,), np.ones(20), up, up)
    actuals = np.full(20, actual)
    assert pinball(np.log(coherent.high[:, 0]), actuals).sum() <= pinball(up[:, 0], actuals).sum() + 1e-9


def test_reached_returns_each_level_at_its_own_quantile():
    up = np.linspace(0.002, 0.02, 7)[None, None, :]
    forecast = RangeForecast.from_distances((6,), np.array([100.0]), up, 2 * up)
    for j, level in enumerate(LEVELS):
        at = forecast.reached(6, np.array([100.0]), forecast.high[:, 0, j])
        assert abs(at[0] - (1 - level)) < 1e-9
        below = forecast.reached(6, np.array([100.0]), forecast.low[:, 0, 6 - j])
        assert abs(below[0] - (1 - level)) < 1e-9


def test_reached_falls_with_distance_into_the_tail():
    up = np.linspace(0.002, 0.02, 7)[None, None, :]
    forecast = RangeForecast.from_distances((6,), np.array([100.0]), up, up)
    prices = np.array([100.0, 100.5, 101.0, 102.0, 103.0, 110.0])
    found = [forecast.reached(6, np.array([100.0]), np.array([price]))[0] for price in prices]
    assert found[0] == 1.0
    assert (np.diff(found) < 0).all()
    assert found[-1] < 0.01
