"""Contributions of features add up to the predicted range."""

import numpy as np
import pytest

from modelregistry.estimators import boosting
from modelregistry.estimators.contributions import scale_contributions
from modelregistry.estimators.scale import VOLATILITY_SHARE, LinearScale, ScaleModel, current_level

HORIZONS = (6, 18)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 5)).astype(np.float32)
    features[::7, 2] = np.nan
    return features


@pytest.fixture(scope="module")
def model(rows):
    rng = np.random.default_rng(4)
    target = np.where(rows[:, 0] > 0.3, 0.5, -0.2) + 0.1 * np.nan_to_num(rows[:, 3])
    matrix = boosting.binned(rows, target, threads=1)
    boosters = [
        boosting.fit(matrix, {"max_depth": 3, "eta": 0.3, "objective": "reg:squarederror"}, 20, seed=k, threads=1)
        for k in HORIZONS
    ]
    linear = LinearScale(rng.normal(size=5), rng.uniform(0.5, 2, 5), rng.normal(size=(2, 5)), np.array([-5.0, -4.5]))
    return ScaleModel(HORIZONS, linear, np.array([0.2, 0.1]), boosters)


def test_contributions_and_current_volatility_give_the_prediction(model, rows):
    sigma = np.full(len(rows), 0.0012)
    parts = scale_contributions(model, rows)
    assert parts.shape == (len(rows), len(HORIZONS), 6)
    again = parts.sum(axis=2) + VOLATILITY_SHARE * current_level(HORIZONS, sigma)
    np.testing.assert_allclose(again, model.log_scale(rows, sigma), atol=1e-5)


def test_a_feature_that_nothing_uses_contributes_nothing(model, rows):
    weights = model.linear.weights.copy()
    weights[:, 4] = 0
    linear = LinearScale(model.linear.centre, model.linear.spread, weights, model.linear.intercept)
    constant = rows.copy()
    constant[:, 4] = 1.0
    matrix = boosting.binned(constant, np.where(constant[:, 0] > 0, 1.0, 0.0), threads=1)
    boosters = [boosting.fit(matrix, {"max_depth": 2}, 5, seed=1, threads=1) for _ in HORIZONS]
    parts = scale_contributions(ScaleModel(HORIZONS, linear, model.level, boosters), constant)
    assert (parts[:, :, 4] == 0).all()
    assert (parts[:, :, 0] != 0).any()
