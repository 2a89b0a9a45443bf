"""The closed forms against simulated random walks and against each other."""

import numpy as np
import pytest

from modelregistry.estimators import passage, tpsl_classifier
from modelregistry.estimators.bracket_calibration import Calibration
from modelregistry.estimators.tpsl_classifier import BracketView


@pytest.fixture(scope="module")
def paths():
    rng = np.random.default_rng(3)
    return np.cumsum(rng.normal(size=(8000, 800)) / np.sqrt(800), axis=1)


# A path sampled at 800 times misses part of its extremes; the shift of Broadie, Glasserman and Kou corrects it.
SHIFT = 0.5826 / np.sqrt(800)


@pytest.mark.parametrize(("near", "far"), [(0.5, 0.5), (1.0, 0.4), (0.4, 1.2), (1.5, 1.5), (3.0, 3.0)])
def test_first_exit_matches_a_simulated_walk(paths, near, far):
    up, down = paths >= near - SHIFT, paths <= -(far - SHIFT)
    when_up = np.where(up.any(axis=1), up.argmax(axis=1), 10**6)
    when_down = np.where(down.any(axis=1), down.argmax(axis=1), 10**6)
    share = ((when_up < when_down) & up.any(axis=1)).mean()
    found = passage.first_exit(np.array([near]), np.array([far]), np.array([1.0]))[0]
    assert abs(found - share) < 4 * np.sqrt(found * (1 - found) / len(paths)) + 0.004


def test_reach_matches_a_simulated_walk(paths):
    for distance in (0.3, 1.0, 2.0):
        share = (paths.max(axis=1) >= distance - SHIFT).mean()
        assert abs(passage.reach(np.array([distance]), np.array([1.0]))[0] - share) < 0.02


def test_both_series_agree_at_the_switch():
    near, far = np.array([0.3, 0.5, 0.9]), np.array([0.7, 0.5, 0.1])
    below = passage.first_exit(near, far, np.full(3, 1.0 - 1e-9))
    above = passage.first_exit(near, far, np.full(3, 1.0 + 1e-9))
    assert np.abs(below - above).max() < 1e-8


def test_exits_are_probabilities_and_grow_with_time():
    deviation = np.geomspace(0.01, 100, 60)
    near, far = np.full(60, 0.8), np.full(60, 0.3)
    up, down = passage.first_exit(near, far, deviation), passage.first_exit(far, near, deviation)
    assert ((up >= 0) & (down >= 0) & (up + down <= 1 + 1e-9)).all()
    assert (np.diff(up) >= -1e-9).all()
    assert (np.diff(down) >= -1e-9).all()
    assert abs(up[-1] - 0.3 / 1.1) < 1e-6


def test_few_and_many_values_and_both_sides_have_the_same_bits(monkeypatch):
    calibration = Calibration(-0.4, 0.3, *np.split(np.linspace(-0.2, 1.1, 11), [4, 7]))
    rows = 40
    rng = np.random.default_rng(1)
    close, log_scale = np.exp(rng.normal(size=rows)), rng.normal(-5, 2, size=(rows, 1))
    view = BracketView((6,), (calibration,), close, np.full(rows, 0.002), log_scale)
    reach = np.array([[0.0005, 0.004, 0.02]])
    above, below = close[:, None] * (1 + reach), close[:, None] * (1 - reach[:, ::-1])

    def answers():
        yield from view.ends(6, "buy", above, below)
        yield from view.ends(6, "sell", below, above)
        yield view.expected_candles(6, "buy", above, below)
        yield view.touch(6, above)
        yield view.touch(6, above[:, 0])

    few = list(answers())
    buys, sells = view.ends_of_sides(6, above, below)
    monkeypatch.setattr(tpsl_classifier, "FEW_VALUES", 0)
    for one, other in zip(few, answers(), strict=True):
        assert one.tobytes() == other.tobytes()
    for one, other in zip(few, (*buys, *sells), strict=False):
        assert one.tobytes() == other.tobytes()
