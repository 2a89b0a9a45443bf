"""Time left of a training: the expected seconds of its steps, beside a measured run and a real one."""

import numpy as np
import pytest

from modelregistry.training.effort import RunSize, step_seconds
from modelregistry.training.fit.plan import plan_for
from modelregistry.training.parts import parts_of
from modelregistry.training.pipeline import expected_steps
from modelregistry.training.workers import IN_PROCESS, Workers

KINDS = ("range_predictor", "tpsl_classifier", "signal_classifier")
CANDLES = 109_512
PLAN = plan_for(CANDLES, (6, 18, 36, 72))
SIZE = RunSize(PLAN, (CANDLES - 4104,) * 2, 4)
MEASURED = np.fromstring(
    """
1.5 0.3 1.3 0.7 0.7 0.6 0.9 0.6 0.6 0.6 0.9 0.7 0.6 0.6 0.9 0.6 0.6 0.7 2.3 0.7 0.4 0.4 8.1 4.3 4.3 7.8 2.6 1.3
1.3 1.3 0.9 1.4 0.5 2.4 0.7 0.4 1.6 0.8 0.8 0.9 1.5 0.9 0.9 0.8 1.6 0.8 0.8 0.8 1.6 0.8 0.8 0.8 2.7 1.8 1.1 0.6
7.5 6.2 5.9 11.2 2.5 1.9 1.9 1.9 1.1 2.8 0.7 3 0.8 0.4 1.8 1 1 1 1.5 1 1 0.9 2 1.1 1 1.3 1.7 1 1.1 1.1 4.3 1.4
1.4 0.8 17.9 8 8.1 15.3 3.1 2.6 2.5 2.4 1.3 3.1 0.9 3.1 0.8 0.6 2.6 1.3 1.4 1.3 2.5 1.2 1.2 1.2 2.5 1.3 1.2 1.2
2.5 1.3 1.2 1.2 4.7 2.8 1.8 1.7 18.2 10.1 10.1 19.5 3.9 3.1 3.1 3.1 1.7 6.5 1.7
""",
    sep=" ",
)
"""Processor seconds of every step of a training on a year of BTCUSDT and ETHUSDT: rows, three folds, all candles."""
MEASURED_WHOLE = 350.4
"""With the reports and the artifacts at its end."""


def test_the_time_left_is_right_within_a_third_from_a_twentieth_of_the_run_on():
    in_order, by_name = expected_steps(SIZE, parts_of(KINDS, PLAN.folds), IN_PROCESS)
    assert by_name == {}
    assert len(in_order) == len(MEASURED) + len(KINDS), "every step of the run, and a report for each kind"
    done = np.cumsum(in_order)[: len(MEASURED)] / sum(in_order)
    passed = np.cumsum(MEASURED)
    expected, left = passed / done - passed, MEASURED_WHOLE - passed
    counted = (done > 0.05) & (left > 0.05 * MEASURED_WHOLE)
    assert counted.sum() > 80
    assert np.abs(expected / left - 1)[counted].max() < 1 / 3


def test_workers_report_parts_and_the_same_seconds():
    parts = parts_of(KINDS, PLAN.folds)
    alone, _ = expected_steps(SIZE, parts, IN_PROCESS)
    in_order, by_name = expected_steps(SIZE, parts, Workers(2))
    assert len(by_name) == len(parts) == 8
    assert sum(in_order) + sum(by_name.values()) == pytest.approx(sum(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_of_another_package_has_its_own_steps(kind):
    size = RunSize(PLAN, (50_000,), 4, frozenset({kind}))
    (part, *_) = parts_of((kind,), PLAN.folds)
    # One fit for a range; held-out blocks and all rows, then the brackets of each horizon, for the others.
    steps = {
        "range_predictor": 1,
        "tpsl_classifier": PLAN.cross_blocks + 1 + 4,
        "signal_classifier": PLAN.cross_blocks + 1,
    }
    assert len(step_seconds(size, part)) == steps[kind]


def test_a_longer_training_set_takes_longer():
    for part in parts_of(KINDS, PLAN.folds):
        longer = [sum(step_seconds(SIZE, one)) for one in parts_of(part.kinds, PLAN.folds)]
        assert longer == sorted(longer)
