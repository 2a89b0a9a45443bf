"""Scores and their errors."""

import numpy as np
import pytest

from modelregistry.evaluation.baselines.regressions import Baselines, har_inputs
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.cells import bracket_cell, losses_of, range_cell
from modelregistry.evaluation.significance.paired import block_error, compare, newey_west_error
from tests.modelregistry import invented

DAY = 86_400_000


def test_the_true_quantiles_have_the_least_pinball_loss():
    rng = np.random.default_rng(0)
    actual = rng.exponential(size=20_000)
    true = -np.log(1 - np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]))
    best = scores.pinball(np.tile(true, (20_000, 1)), actual).mean()
    for wrong in (0.8, 0.9, 1.1, 1.25):
        assert scores.pinball(np.tile(true * wrong, (20_000, 1)), actual).mean() > best


def test_the_calibration_line_finds_a_distortion():
    rng = np.random.default_rng(1)
    odds = rng.normal(size=40_000)
    happened = rng.random(40_000) < 1 / (1 + np.exp(-(0.5 + 1.5 * odds)))
    intercept, slope = scores.calibration_line(1 / (1 + np.exp(-odds)), happened)
    assert abs(intercept - 0.5) < 0.05
    assert abs(slope - 1.5) < 0.07
    assert scores.calibration_line(np.full(100, 0.3), happened[:100]) == (0.0, 0.0)


def overlapping(rng, rows, horizon):
    """Loss differences whose neighbours share all but one candle."""
    noise = rng.normal(size=rows + horizon)
    total = np.cumsum(noise)
    return (total[horizon:] - total[:-horizon])[:rows]


def test_overlap_does_not_make_noise_significant():
    rng = np.random.default_rng(2)
    rows, horizon = 288 * 60, 72
    times = np.arange(rows) * 300_000
    found = [compare(np.zeros(rows), overlapping(rng, rows, horizon), times, horizon) for _ in range(60)]
    assert np.mean([one.p_value < 0.05 for one in found]) < 0.2
    naive = [np.std(overlapping(rng, rows, horizon)) / np.sqrt(rows) for _ in range(5)]
    assert np.mean([one.error for one in found]) > 5 * np.mean(naive)
    assert np.median([one.effective_n for one in found]) < rows / 30


def test_a_real_difference_is_found():
    rng = np.random.default_rng(3)
    rows = 288 * 60
    times = np.arange(rows) * 300_000
    found = compare(np.zeros(rows), overlapping(rng, rows, 6) + 2.0, times, 6)
    assert found.p_value < 0.001
    assert found.lower > 0


def test_errors_of_independent_rows_are_the_textbook_ones():
    values = np.random.default_rng(4).normal(size=288 * 100)
    times = np.arange(len(values)) * 300_000
    textbook = values.std() / np.sqrt(len(values))
    assert abs(newey_west_error(values, 3) / textbook - 1) < 0.1
    assert abs(block_error(values, times) / textbook - 1) < 0.4


def test_har_inputs_never_look_ahead():
    grid = invented.grid(288 * 30)
    whole = har_inputs(grid, (6, 72))
    cut = har_inputs(grid.span(0, 288 * 25), (6, 72))
    assert np.array_equal(whole[:, : 288 * 25], cut, equal_nan=True)


def test_a_missing_profile_is_nan():
    grid = invented.grid(288 * 20)
    inputs = har_inputs(grid, (6,))
    assert np.isnan(inputs[0, : 288 * 14 - 6, -1]).all()
    known = inputs[0, 288 * 15 :, -1]
    assert (known > np.log(1e-5)).all()


def test_the_trailing_rescale_follows_a_change_of_level_without_seeing_ahead():
    rows, horizon = 288 * 120, 6
    times = np.arange(rows) * 300_000
    har = np.zeros((rows, 6))
    sigma = np.full(rows, 0.001)
    rng = np.random.default_rng(5)
    ahead = 0.002 * rng.exponential(size=rows)
    fitted = Baselines.fit(horizon, 0, har, sigma, ahead, ahead / (1 + ahead))
    doubled = np.where(np.arange(rows) > rows // 2, 2 * ahead, ahead)
    forecasts = fitted.predict(0, har, sigma, 0, doubled, times, np.ones(rows), 300_000)
    plain, rescaled = forecasts["har_season"][:, 3], forecasts["har_season_90d"][:, 3]
    assert np.allclose(plain[: 288 * 20], rescaled[: 288 * 20])
    assert abs(rescaled[rows // 2 + horizon] / plain[0] - 1) < 0.05
    assert rescaled[-1] > 1.3 * plain[0]
    changed = doubled.copy()
    changed[-horizon:] *= 50
    again = fitted.predict(0, har, sigma, 0, changed, times, np.ones(rows), 300_000)["har_season_90d"]
    assert np.array_equal(again, forecasts["har_season_90d"])


def test_a_refused_row_counts_as_the_best_baseline():
    rng = np.random.default_rng(6)
    rows = 2000
    actual = rng.exponential(size=rows)
    quantiles = np.tile(-np.log(1 - np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])), (rows, 1))
    others = {"ewm": 1.3 * quantiles, "har_season": 1.1 * quantiles}
    times = np.arange(rows) * 300_000
    forecasts = quantiles.copy()
    forecasts[: rows // 2] = np.nan
    lost = {name: scores.pinball(other, actual) * scores.BPS for name, other in others.items()}
    half = range_cell(forecasts, actual, losses_of(forecasts, actual, lost), times, 6, 1)
    whole = range_cell(quantiles, actual, losses_of(quantiles, actual, lost), times, 6, 1)
    assert half["answered"] == pytest.approx(50.0)
    assert half["best_baseline"] == "har_season"
    assert 0 < half["skill"] < whole["skill"]


def test_the_base_rate_itself_has_no_skill():
    rng = np.random.default_rng(7)
    outcomes = np.eye(3)[rng.choice(3, 5000, p=[0.3, 0.4, 0.3])]
    near = far = np.full(5000, 0.01)
    times = np.arange(5000) * 300_000
    cell = bracket_cell(np.broadcast_to(outcomes.mean(axis=0), (5000, 3)), outcomes, near, far, times, 6, 1)
    assert abs(cell["skill"]) < 1e-9
    assert cell["calibration_slope"] == 0.0


def test_the_error_of_brackets_accounts_for_overlap():
    """Twelve consecutive rows with the same outcome carry the information of one."""
    rng = np.random.default_rng(8)
    rows, share = 400, 12
    touch = rng.uniform(0.2, 0.8, rows)
    chances = np.column_stack([touch / 2, touch / 2, 1 - touch])
    outcomes = np.eye(3)[(rng.random(rows)[:, None] > chances.cumsum(axis=1)).sum(axis=1)]
    near = np.full(rows * share, 0.01)
    times = np.arange(rows * share) * 300_000
    many = [np.repeat(one, share, axis=0) for one in (chances, outcomes)]
    shared = bracket_cell(*many, near, near, times, share, 1)
    single = bracket_cell(chances, outcomes, near[:rows], near[:rows], times[::share], share, share)
    assert shared["skill"] == pytest.approx(single["skill"])
    assert shared["skill_error"] == pytest.approx(single["skill_error"], rel=0.35)
    assert shared["effective_n"] < 2 * rows
    assert shared["p_value"] == pytest.approx(single["p_value"], abs=0.1)
    assert shared["skill"] > 2 * shared["skill_error"]
