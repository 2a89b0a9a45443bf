"""Rule for the use of the side, and uniqueness of overlapping labels."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import WARMUP
from modelregistry.dataset.label_overlap import average_uniqueness
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.training import direction_rule
from modelregistry.training.direction_rule import gain_of_direction, side_verdict
from tests.modelregistry import champions, invented

COSTS = 0.0


@pytest.fixture(scope="module")
def rows():
    return build_dataset(invented.grid(WARMUP + 40 * 288, seed=11), ("AUSDT",), (18,), 6)


def classifier():
    return replace(champions.estimator("signal_classifier"), base_rate=np.array([0.3, 0.2, 0.5]), trust=1.0)


def test_without_direction_each_side_has_half_the_touch_probability(rows):
    with_side = classifier()
    without = replace(with_side, directional=False)
    before, after = with_side.predict(rows.features[:200]), without.predict(rows.features[:200])
    assert not np.allclose(before[:, 0], before[:, 1])
    assert np.array_equal(after[:, 0], after[:, 1])
    assert np.array_equal(after[:, 2], before[:, 2])
    assert np.allclose(after.sum(axis=1), 1.0)
    back = SignalClassifier.from_files(without.to_files())
    assert np.array_equal(back.predict(rows.features[:200]), after)


def test_a_true_side_gains_significantly_and_a_random_one_does_not(rows, monkeypatch):
    guess = gain_of_direction(classifier(), rows, COSTS)
    assert guess["lower"] < 0
    # Labels that the trees predict: the class of their largest probability.
    known = classifier().predict(rows.features).argmax(axis=1)
    guesses = np.random.default_rng(1).integers(0, 3, len(rows))
    noisy = np.where(np.random.default_rng(2).random(len(rows)) < 0.5, known, guesses)
    monkeypatch.setattr(direction_rule, "direction_labels", lambda *_: noisy)
    true = gain_of_direction(replace(classifier(), base_rate=np.array([0.3, 0.3, 0.4])), rows, COSTS)
    assert true["gain"] > guess["gain"]


@pytest.mark.parametrize(
    ("lowers", "enters"),
    [([0.1, 0.2, -0.1], True), ([0.1, -0.2, -0.1], False), ([0.5], False), ([0.5, 0.1], True), ([0.0, 0.0, 1], False)],
)
def test_the_side_needs_a_significant_gain_in_two_folds(lowers, enters):
    found = side_verdict([{"gain": 1.0, "error": 0.1, "lower": lower} for lower in lowers])
    assert found["enters"] is enters
    assert ("is a constant" in found["words"]) is not enters


def test_uniqueness_agrees_with_a_slow_count():
    rng = np.random.default_rng(4)
    position, candles = np.sort(rng.choice(400, 120, replace=False)), rng.integers(1, 30, 120)
    readers = np.zeros(500)
    for at, span in zip(position, candles, strict=True):
        readers[at + 1 : at + span + 1] += 1
    slow = [(1 / readers[at + 1 : at + span + 1]).mean() for at, span in zip(position, candles, strict=True)]
    assert average_uniqueness(position, candles) == pytest.approx(slow)


def test_labels_of_one_length_on_every_candle_are_unique_by_one_over_their_length():
    shares = average_uniqueness(np.arange(1000), np.full(1000, 20))
    assert shares[100:-100] == pytest.approx(1 / 20)
    assert average_uniqueness(np.array([], dtype=int), np.array([], dtype=int)).shape == (0,)
