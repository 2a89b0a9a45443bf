"""Statistical tests: values checked by hand, and size on simulated data."""

import numpy as np
import pytest
from scipy.stats import chi2, ttest_1samp

from modelregistry.estimators.forecast import LEVELS
from modelregistry.evaluation.metrics.bands import band_table
from modelregistry.evaluation.metrics.exceedance import exceedance, miss_test
from modelregistry.evaluation.metrics.reliability import brier_parts, calibration, equal_bins, reliability_curve
from modelregistry.evaluation.metrics.scores import interval_score, interval_scores
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.evaluation.significance.diebold_mariano import diebold_mariano

DAY = 288


def times(rows, per_day=DAY):
    return np.arange(rows) * (86_400_000 // per_day)


def test_one_step_diebold_mariano_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    first, second = rng.exponential(size=80), 0.2 + rng.exponential(size=80)
    found, expected = diebold_mariano(first, second, 1), ttest_1samp(second - first, 0.0)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_differ == pytest.approx(expected.pvalue)


def test_diebold_mariano_holds_its_size_when_outcomes_overlap():
    rng, steps, refused, naive = np.random.default_rng(2), 6, 0, 0
    for _ in range(600):
        shocks = rng.normal(size=600 + steps)
        overlapping = np.convolve(shocks, np.ones(steps), mode="valid")[:600]
        refused += diebold_mariano(np.zeros(600), overlapping, steps).p_differ < 0.05
        naive += diebold_mariano(np.zeros(600), overlapping, 1).p_differ < 0.05
    assert 0.02 < refused / 600 < 0.09
    assert naive / 600 > 0.3


def test_diebold_mariano_finds_a_real_gain_and_falls_back_when_the_variance_would_be_negative():
    rng = np.random.default_rng(3)
    worse = 1.0 + 0.1 * rng.normal(size=500)
    assert diebold_mariano(np.ones(500) * 0.9, worse, 6).p_better < 1e-6
    alternating = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    found = diebold_mariano(np.zeros(40), alternating, 2)
    assert found.error > 0
    assert found.p_differ == pytest.approx(1.0)
    same = diebold_mariano(np.ones(40), np.ones(40), 3)
    assert (same.mean, same.p_better, same.p_differ) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("steps", [0, 40])
def test_diebold_mariano_raises_for_too_few_rows(steps):
    with pytest.raises(ValueError, match="cannot be tested"):
        diebold_mariano(np.zeros(40), np.ones(40), steps)


def test_block_intervals_have_nominal_coverage_and_narrow_ones_do_not():
    rng, covered, naive = np.random.default_rng(4), 0, 0
    for _ in range(200):
        days = rng.normal(size=280)
        rows = np.repeat(days, 6) + 0.1 * rng.normal(size=280 * 6)
        found = block_interval(rows, times(len(rows), 6), draws=300)
        covered += found.lower <= 0.0 <= found.upper
        naive += abs(rows.mean()) <= 1.96 * rows.std() / np.sqrt(len(rows))
    assert 0.89 < covered / 200 <= 0.99
    assert naive / 200 < 0.75


def test_a_block_interval_takes_the_wider_of_days_and_weeks_and_ratios_are_of_sums():
    rng = np.random.default_rng(5)
    weekly = np.repeat(rng.normal(size=30), 7 * 4)
    at = times(len(weekly), 4)
    by_day = np.quantile(
        [weekly.reshape(-1, 4).mean(axis=1)[rng.integers(0, 210, 210)].mean() for _ in range(1000)], [0.025, 0.975]
    )
    found = block_interval(weekly, at)
    assert found.upper - found.lower > 1.7 * (by_day[1] - by_day[0])
    assert found.days == 210
    saved, base = 0.1 + 0.05 * rng.normal(size=len(at)), 1.0 + rng.exponential(size=len(at))
    ratio = block_interval(saved * base, at, base)
    assert ratio.mean == pytest.approx((saved * base).sum() / base.sum())
    assert ratio.lower < ratio.mean < ratio.upper
    with pytest.raises(ValueError, match="at least one row"):
        block_interval(np.zeros(0), np.zeros(0))


def test_exceedances_of_the_true_quantiles_are_the_levels_within_their_error():
    rng = np.random.default_rng(6)
    actual = rng.exponential(size=40 * DAY)
    quantiles = np.tile(-np.log(1 - np.array(LEVELS)), (len(actual), 1))
    found = exceedance(quantiles, actual, times(len(actual)))
    off = np.abs(np.array(found["below"]) - 100 * np.array(LEVELS)) / np.array(found["error"])
    assert (off < 3.5).all()
    shifted = exceedance(quantiles * 1.2, actual, times(len(actual)))
    assert shifted["below"][6] > found["below"][6] + 1


def test_christoffersen_by_hand():
    missed = np.array([0, 0, 1, 0, 0, 0, 1, 1, 0, 0], dtype=bool)
    found = miss_test(missed, 0.2)
    # Transitions: 4 hit-hit, 2 hit-miss, 2 miss-hit, 1 miss-miss.
    likelihood = 4 * np.log(4 / 6) + 2 * np.log(2 / 6) + 2 * np.log(2 / 3) + np.log(1 / 3)
    pooled = 3 * np.log(3 / 9) + 6 * np.log(6 / 9)
    share = 2 * (3 * np.log(0.3 / 0.2) + 7 * np.log(0.7 / 0.8))
    assert found.p_independent == pytest.approx(chi2.sf(2 * (likelihood - pooled), 1))
    assert found.p_share == pytest.approx(chi2.sf(share, 1))
    assert found.p_both == pytest.approx(chi2.sf(share + 2 * (likelihood - pooled), 2))
    assert (found.after_miss, found.after_hit) == (pytest.approx(1 / 3), pytest.approx(2 / 6))


def test_christoffersen_rejects_calibrated_forecasts_rarely_and_clustered_ones_always():
    rng, honest, overlapping = np.random.default_rng(7), 0, 0
    for _ in range(400):
        honest += miss_test(rng.random(1000) < 0.2, 0.2).p_independent < 0.05
        sums = np.convolve(rng.normal(size=1205), np.ones(6) / np.sqrt(6), mode="valid")
        overlapping += miss_test(np.abs(sums) > 1.2816, 0.2, steps=6).p_independent < 0.05
    assert 0.02 < honest / 400 < 0.09
    assert overlapping / 400 < 0.07
    volatile = np.repeat(np.where(rng.random(40) < 0.25, 0.6, 0.07), 50)
    clustered = miss_test(rng.random(2000) < volatile, 0.2)
    assert clustered.p_independent < 1e-6
    assert clustered.after_miss > 1.5 * clustered.after_hit


def test_a_band_that_is_never_missed_is_too_wide_and_nothing_divides_by_zero():
    found = miss_test(np.zeros(500, dtype=bool), 0.2)
    assert found.p_share < 1e-9
    assert found.p_independent == 1.0
    assert np.isnan(found.after_miss)
    with pytest.raises(ValueError, match="share"):
        miss_test(np.zeros(10, dtype=bool), 1.0)
    with pytest.raises(ValueError, match="series"):
        miss_test(np.zeros(10, dtype=bool), 0.2, steps=6)


def test_bands_agree_with_the_mean_score_and_the_true_band_scores_best():
    rng = np.random.default_rng(8)
    actual = rng.normal(size=20_000)
    true = np.tile(np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449]), (len(actual), 1))
    assert interval_scores(true[:, 1], true[:, 5], actual, 0.8).mean() == pytest.approx(interval_score(true, actual))
    honest = band_table(true, actual)
    assert np.allclose(honest["inside"], [50, 80, 90], atol=1.0)
    assert np.allclose(np.array(honest["inside"]) + honest["under"] + honest["over"], 100.0)
    for factor in (0.7, 1.4):
        assert (np.array(band_table(true * factor, actual)["score"]) > honest["score"]).all()


def test_brier_parts_add_up_and_a_shift_changes_reliability():
    rng = np.random.default_rng(9)
    chance = rng.beta(2, 3, size=30_000)
    came = (rng.random(30_000) < chance).astype(float)
    parts = brier_parts(chance, came)
    assert parts.score == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty + parts.within)
    assert parts.reliability < 2e-4
    off = brier_parts(np.clip(chance + 0.1, 0, 1), came)
    assert off.reliability == pytest.approx(0.01, abs=0.002)
    assert off.resolution == pytest.approx(parts.resolution, abs=1e-3)
    three = np.column_stack([chance, 0.5 * (1 - chance), 0.5 * (1 - chance)])
    happened = np.eye(3)[rng.integers(0, 3, 30_000)]
    whole = brier_parts(three, happened)
    assert whole.score == pytest.approx(((three - happened) ** 2).sum(axis=1).mean())
    assert whole.score == pytest.approx(whole.reliability - whole.resolution + whole.uncertainty + whole.within)


def test_a_constant_forecast_is_one_bin_without_resolution():
    came = (np.arange(300) % 3 == 0).astype(float)
    assert [len(part) for part in equal_bins(np.full(300, 1 / 3), 10)] == [300]
    parts = brier_parts(np.full(300, 1 / 3), came)
    assert parts.resolution == pytest.approx(0.0)
    assert parts.reliability == pytest.approx(0.0)
    assert calibration(np.full(300, 1 / 3), came, times(300)).slope == 0.0


def test_the_reliability_curve_of_a_calibrated_forecast_is_the_diagonal():
    rng = np.random.default_rng(10)
    chance = rng.random(20_000)
    curve = reliability_curve(chance, rng.random(20_000) < chance, times(20_000))
    off = np.abs(np.array(curve["forecast"]) - curve["observed"]) / np.array(curve["error"])
    assert len(curve["rows"]) == 10
    assert sum(curve["rows"]) == 20_000
    assert (off < 4).all()


def test_the_calibration_line_finds_overconfidence_with_a_correct_error():
    rng, covered = np.random.default_rng(11), 0
    for _ in range(150):
        days = np.repeat(0.5 * rng.normal(size=100), 20)
        odds = rng.normal(size=2000)
        came = rng.random(2000) < 1 / (1 + np.exp(-odds - days))
        line = calibration(1 / (1 + np.exp(-odds)), came, times(2000, 20))
        # Unobserved daily effects attenuate the slope by the known factor.
        covered += abs(line.slope - 1 / np.sqrt(1 + 0.346 * 0.25)) < 1.96 * line.slope_error
    assert covered / 150 > 0.88
    chance = 1 / (1 + np.exp(-2 * odds))
    bold = calibration(chance, rng.random(2000) < 1 / (1 + np.exp(-odds)), times(2000, 20))
    assert bold.slope + 1.96 * bold.slope_error < 0.8
