"""Selection bias: noise is not significant, skill is, and every trial is recorded."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from modelregistry.evaluation.significance import multiple_trials as selection
from modelregistry.evaluation.significance import overfitting
from modelregistry.models import TrainingTrial
from modelregistry.search import trial_ledger as ledger
from tests.modelregistry import champions

DAYS = [f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}" for d in range(240)]


def noise(seed, days=480, n_trials=200):
    return np.random.default_rng(seed).normal(size=(days, n_trials))


def test_two_hundred_noise_configurations_look_like_noise():
    found = [overfitting.probability_of_overfitting(noise(seed), 12).probability for seed in range(12)]
    assert abs(np.mean(found) - 0.5) < 3 * 0.13 / np.sqrt(12) + 0.03
    deflated = [selection.deflated_sharpe(noise(seed)) for seed in range(40)]
    # Without the correction the best of 200 is nearly always significant.
    plain = [selection.probabilistic_sharpe(one.sharpe, 480) for one in deflated]
    assert np.mean(np.array(plain) > 0.95) > 0.95
    assert np.mean([one.significant for one in deflated]) <= 0.1
    assert abs(np.mean([one.sharpe - one.benchmark for one in deflated])) < 0.01


def test_a_configuration_with_skill_does_not_look_like_noise():
    scores = noise(1)
    scores[:, 17] += 0.3
    overfit = overfitting.probability_of_overfitting(scores, 12)
    assert overfit.probability < 0.05
    assert overfit.loss_probability < 0.05
    found = selection.deflated_sharpe(scores)
    assert found.significant
    assert found.sharpe == pytest.approx(overfitting.sharpe(scores[:, 17]))


def test_the_overfitting_of_two_periods_each_way_by_hand():
    # Four blocks of one period; trial 0 is best in the first two, trial 1 in the last two.
    scores = np.array([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
    found = overfitting.probability_of_overfitting(scores, 4, "mean")
    assert found.splits == 6
    # Halves {0,1} and {2,3} pick a winner that loses outside; the four mixed halves tie at 1.5 and rank in the middle.
    assert found.probability == 1.0
    assert found.loss_probability == pytest.approx(2 / 6)
    assert found.in_sample == pytest.approx((3 + 3 + 4 * 1.5) / 6)


def test_overfitting_agrees_with_a_slow_loop():
    scores = noise(5, days=66, n_trials=7)
    blocks = np.array_split(np.arange(66), 6)
    logits = []
    for half in combinations(range(6), 3):
        inside = np.concatenate([blocks[b] for b in half])
        outside = np.setdiff1d(np.arange(66), inside)
        best = int(np.argmax([overfitting.sharpe(scores[inside, j]) for j in range(7)]))
        there = np.array([overfitting.sharpe(scores[outside, j]) for j in range(7)])
        omega = (there <= there[best]).sum() / 8
        logits.append(np.log(omega / (1 - omega)))
    assert overfitting.probability_of_overfitting(scores, 6).probability == pytest.approx(
        np.mean(np.array(logits) <= 0)
    )


def test_the_expected_maximum_agrees_with_simulation():
    best = np.random.default_rng(2).normal(size=(4000, 100)).max(axis=1).mean()
    assert selection.expected_max_sharpe(1.0, 100) == pytest.approx(best, rel=0.02)


def test_the_probabilistic_sharpe_is_normal_for_normal_returns_and_adjusts_for_tails():
    ratio, n = 0.1, 253
    expected = norm.cdf(ratio * np.sqrt(n - 1) / np.sqrt(1 + 0.5 * ratio**2))
    assert selection.probabilistic_sharpe(ratio, n) == pytest.approx(expected)
    assert selection.probabilistic_sharpe(ratio, n, skew=-2.0, kurtosis=10.0) < expected


def test_copies_count_as_one_trial_and_independent_ones_as_many():
    one = noise(3, n_trials=1)
    copies = np.repeat(one, 50, axis=1) + 1e-3 * noise(4, n_trials=50)
    assert selection.independent_trials(copies) < 1.1
    assert selection.independent_trials(noise(5, n_trials=50)) > 45


@pytest.mark.parametrize("broken", [np.full((40, 3), np.nan), np.ones(40), np.ones((1, 3))])
def test_invalid_scores_are_refused(broken):
    with pytest.raises(ValueError, match="score"):
        selection.deflated_sharpe(broken)
    with pytest.raises(ValueError, match="score"):
        overfitting.probability_of_overfitting(broken, 2)


@pytest.mark.parametrize("blocks", [0, 3, 42])
def test_blocks_that_cannot_be_halved_are_refused(blocks):
    with pytest.raises(ValueError, match="blocks"):
        overfitting.probability_of_overfitting(noise(0, days=40, n_trials=3), blocks)


def test_a_constant_series_is_not_significant():
    flat = np.zeros((60, 4))
    assert not selection.deflated_sharpe(flat).significant
    assert overfitting.probability_of_overfitting(flat, 4).loss_probability == 1.0


def record(column, **words):
    gains = dict(zip(DAYS, map(float, column), strict=False))
    fields = {"kind": "range_predictor", "source": "exchange", "actor": "tests", "origin": "search", "study": "depth"}
    return ledger.record_trial(**{**fields, "score": float(np.sum(column)), "period_scores": gains, **words})


@pytest.mark.django_db
def test_a_ledger_of_noise_is_not_significant_and_skill_is():
    scores = noise(7, days=len(DAYS), n_trials=40)
    for number, column in enumerate(scores.T):
        record(column, configuration={"depth": number})
    found = ledger.ledger_report("range_predictor", "exchange")
    assert found["trials"] == found["searched"] == found["configurations"] == found["compared"] == 40
    assert 0.1 < found["overfitting"]["probability"] < 0.9
    assert not found["deflated_sharpe"]["significant"]
    planted = record(scores[:, 0] + 0.6, configuration={"depth": 99})
    found = ledger.ledger_report("range_predictor", "exchange")
    assert found["best"] == planted.configuration_digest
    assert found["overfitting"]["probability"] < 0.05
    assert found["deflated_sharpe"]["significant"]


@pytest.mark.django_db
def test_trials_without_daily_gains_raise_the_benchmark():
    scores = noise(8, days=len(DAYS), n_trials=3)
    for number, column in enumerate(scores.T):
        record(column, configuration={"depth": number})
    few = ledger.ledger_report("range_predictor", "exchange")["deflated_sharpe"]["benchmark"]
    for number in range(100):
        record([], configuration={"rounds": number}, period_scores={}, score=None) if number % 2 else record(
            scores[:, 0], configuration={"rounds": number}, period_scores={}
        )
    found = ledger.ledger_report("range_predictor", "exchange")
    assert found["failed"] == 50
    assert found["deflated_sharpe"]["benchmark"] > 1.5 * few
    assert ledger.ledger_report("range_predictor", "exchange", study="other")["trials"] == 0


@pytest.mark.django_db
def test_a_single_configuration_is_counted_without_a_test():
    record(np.ones(len(DAYS)), configuration={"depth": 1})
    record(np.ones(len(DAYS)), configuration={"depth": 1})
    found = ledger.ledger_report("range_predictor", "exchange")
    assert (found["trials"], found["configurations"]) == (2, 1)
    assert found["overfitting"] is None
    assert "1 configurations" in found["message"]


@pytest.mark.django_db
def test_a_training_run_is_recorded_with_its_scores():
    version = champions.candidate()
    day = 86_400_000
    version.report = {
        "skill": 0.021,
        "folds": [{"from_ms": 0, "to_ms": 2 * day - 1}, {"from_ms": 2 * day, "to_ms": 3 * day - 1}],
        "detail": {"daily_gain": {"1970-01-01": 0.01, "1970-01-02": 0.03, "1970-01-03": 0.04}},
    }
    row = ledger.record_run(version, "olga")
    assert (row.score, row.version, row.actor) == (0.021, version, "olga")
    assert row.fold_scores == pytest.approx([0.02, 0.04])
    assert row.period_scores["1970-01-03"] == 0.04
    assert f"{row.tested_until:%Y-%m-%d}" == "1970-01-03"
    assert row.configuration["seed"] == version.seed
    assert ledger.record_run(version, "olga").configuration_digest == row.configuration_digest


@pytest.mark.django_db
def test_the_ledger_is_append_only_and_takes_numbers_of_numpy():
    row = record([], configuration={"eta": np.float32(0.5), "marks": np.array([1, 2])}, period_scores={}, score=np.nan)
    assert row.configuration == {"eta": 0.5, "marks": [1, 2]}
    assert row.score is None
    with pytest.raises(TypeError, match="append-only"):
        row.save()
    with pytest.raises(TypeError, match="append-only"):
        row.delete()
    assert TrainingTrial.objects.count() == 1
