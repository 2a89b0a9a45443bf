"""The gate refuses versions without a significant gain over baselines, with reasons."""

import numpy as np
import pytest

from modelregistry.estimators.forecast import LEVELS
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.cells import bracket_cell, losses_of, range_cell
from modelregistry.training.gate import bracket_verdict, direction_verdict, range_verdict

ROWS = 288 * 90
TIMES = np.arange(ROWS) * 300_000
UNIT = -np.log(1 - np.array(LEVELS))


def report(quantiles_of, seed=0):
    """A report of one cell on exponential outcomes whose scale changes from day to day."""
    rng = np.random.default_rng(seed)
    scale = np.exp(0.5 * rng.normal(size=ROWS // 288)).repeat(288)
    actual = scale * rng.exponential(size=ROWS)
    guess = np.exp(0.3 * rng.normal(size=ROWS // 288)).repeat(288) * scale
    others = {"ewm": 1.2 * guess[:, None] * UNIT, "har_season": guess[:, None] * UNIT}
    lost = {name: scores.pinball(other, actual) * scores.BPS for name, other in others.items()}
    forecasts = quantiles_of(rng, scale, actual)
    cell = range_cell(forecasts, actual, losses_of(forecasts, actual, lost), TIMES, 6, 1)
    return {"test_days": 90, "cells": [{"symbol": "AUSDT", "horizon": 6, "target": "high", **cell}]}


def test_a_model_with_a_real_edge_is_accepted():
    verdict = range_verdict(report(lambda rng, scale, actual: scale[:, None] * UNIT))
    assert verdict.accepted, verdict.reasons


def test_few_test_days_are_not_enough():
    found = report(lambda rng, scale, actual: scale[:, None] * UNIT)
    verdict = range_verdict({**found, "test_days": 10})
    assert verdict.reasons == ["tested on 10 days, fewer than the required 30"]


def test_a_constant_is_refused():
    verdict = range_verdict(report(lambda rng, scale, actual: np.tile(UNIT * 1.1, (ROWS, 1))))
    assert not verdict.accepted


def test_noise_is_refused():
    def noise(rng, scale, actual):
        return (np.exp(rng.normal(size=ROWS)))[:, None] * UNIT

    assert not range_verdict(report(noise)).accepted


def test_a_leaky_model_is_refused_for_its_coverage():
    # It uses the outcome, so every score is better, but its bands are not calibrated.
    verdict = range_verdict(report(lambda rng, scale, actual: actual[:, None] * np.linspace(0.97, 1.03, 7)))
    assert not verdict.accepted
    assert any("bands cover" in reason for reason in verdict.reasons)


def test_a_miscalibrated_model_is_refused():
    verdict = range_verdict(report(lambda rng, scale, actual: scale[:, None] * UNIT * np.linspace(1.15, 0.8, 7)))
    assert any("bands cover" in reason for reason in verdict.reasons)


def test_a_model_as_good_as_the_champion_is_refused_beside_it():
    found = report(lambda rng, scale, actual: scale[:, None] * UNIT)
    beside = {"evidence": "later candles", "days": 40, "later_days": 40, "gain": 0.1, "error": 0.3, "lower": -0.5}
    assert range_verdict(found, beside).reasons == [
        "not significantly better than the champion on 40 days since its training (0.10 %, error 0.30)"
    ]
    assert range_verdict(found, {**beside, "gain": 2.0, "lower": 1.4}).accepted
    nothing = {**beside, "evidence": "none", "days": 3, "later_days": 1}
    assert range_verdict(found, nothing).reasons == [
        "not enough candles since the champion: 1 of 30 days, and 3 days both were tested on"
    ]


def brackets(bend, seed=0):
    rng = np.random.default_rng(seed)
    touch = 1 / (1 + np.exp(-rng.normal(size=ROWS)))
    probabilities = np.column_stack([touch / 2, touch / 2, 1 - touch])
    outcomes = np.eye(3)[[rng.choice(3, p=row) for row in probabilities[:4000]]]
    forecasts = bend(probabilities[:4000])
    near = np.full(4000, 0.01)
    cell = bracket_cell(forecasts, outcomes, near, near, np.arange(len(near)) * 1_800_000, 6, 6)
    return {
        "test_days": 90,
        "skill": cell["skill"] / 100,
        "cells": [{"symbol": "AUSDT", "horizon": 6, "side": "buy", "bracket": "1x1", **cell}],
    }


def test_calibrated_brackets_are_accepted_and_distorted_ones_are_not():
    assert bracket_verdict(brackets(lambda probabilities: probabilities)).accepted

    def bent(probabilities):
        touch = 1 / (1 + np.exp(-3 * np.log((1 - probabilities[:, 2]) / probabilities[:, 2])))
        return np.column_stack([touch / 2, touch / 2, 1 - touch])

    verdict = bracket_verdict(brackets(bent))
    assert not verdict.accepted
    constant = bracket_verdict(brackets(lambda probabilities: np.tile([0.25, 0.25, 0.5], (len(probabilities), 1))))
    assert not constant.accepted


@pytest.mark.parametrize(("skill", "accepted"), [(0.0, False), (0.9, False), (1.1, True)])
def test_brackets_must_beat_the_base_rates_significantly(skill, accepted):
    found = brackets(lambda probabilities: probabilities)
    found["cells"][0] |= {"skill": skill, "skill_error": 0.5}
    verdict = bracket_verdict(found)
    assert verdict.accepted is accepted
    assert all("not significantly above 0" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(("skill", "accepted"), [(0.0, False), (0.5, False), (3.0, True)])
def test_a_direction_must_beat_the_base_rate_significantly(skill, accepted):
    found = {"test_days": 90, "cells": [{"skill": skill, "skill_error": 0.5}]}
    assert direction_verdict(found).accepted is accepted
