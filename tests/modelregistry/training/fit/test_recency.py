"""Weights of training rows by age."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from indicators.candles import DAY_MS
from modelregistry.dataset.rows import Dataset
from modelregistry.training.fit.plan import HALF_LIFE_DAYS, plan_for
from modelregistry.training.fit.residuals import conformal_factor
from modelregistry.training.fit.scale import fit_linear

HORIZONS = (6, 72)


@dataclass(frozen=True)
class Rows:
    """Rows with nothing but their times."""

    open_time: np.ndarray


def weights_at(*days: float) -> np.ndarray:
    rows = cast("Dataset", Rows((np.array(days) * DAY_MS).astype(np.int64)))
    return plan_for(290_000, HORIZONS).recency_weights(rows)


def test_a_row_of_one_half_life_counts_half() -> None:
    newest, older = weights_at(1000, 1000 - HALF_LIFE_DAYS)
    assert np.isclose(newest, 2 * older)


def test_weights_are_one_on_average() -> None:
    assert np.isclose(weights_at(0, 100, 700, 800).mean(), 1.0)


def test_rows_without_weight_do_not_move_a_regression() -> None:
    features = np.random.default_rng(1).normal(size=(400, 2)).astype(np.float32)
    target = np.where(np.arange(400)[:, None] < 200, -features[:, :1], 3.0 * features[:, :1] + 1.0)
    weights = np.where(np.arange(400) < 200, 0.0, 2.0)
    fitted = fit_linear(features, target, penalty=0.0, weights=weights)
    assert np.allclose(fitted.predict(features[200:]), target[200:], atol=1e-5)


def test_equal_weights_are_no_weights() -> None:
    features = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    target = features[:, :2] + features[:, 2:] ** 2
    plain, weighted = fit_linear(features, target), fit_linear(features, target, weights=np.ones(300))
    assert np.array_equal(plain.weights, weighted.weights)
    assert np.array_equal(plain.intercept, weighted.intercept)


def test_conformal_factor_without_weights_is_the_finite_sample_rank() -> None:
    for count in (7, 40, 999):
        ratios = np.random.default_rng(count).uniform(0.5, 2.0, count)
        for level in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
            rank = min(int(np.ceil((count + 1) * level)), count)
            assert conformal_factor(ratios, level, np.ones(count)) == np.sort(ratios)[rank - 1]


def test_conformal_factor_follows_heavy_rows() -> None:
    ratios = np.array([0.5, 1.0, 1.5, 2.0])
    assert conformal_factor(ratios, 0.5, np.array([0.2, 0.2, 0.2, 3.4])) == 2.0
