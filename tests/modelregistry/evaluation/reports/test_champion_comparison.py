"""Champion comparison on later candles, or on shared test days."""

import numpy as np
import pytest

from modelregistry.evaluation.reports.champion_comparison import ENOUGH_DAYS, ComparedChampion, versus_champion
from modelregistry.evaluation.reports.report import Collected

DAY_MS = 86_400_000
CELLS = [{"symbol": "AUSDT", "horizon": 6}]


def gains(days, lift=0.0, first=0, seed=0):
    """Daily gains of `days` days from day `first` on, with noise by day."""
    shared = np.random.default_rng(7).normal(size=400)
    own = np.random.default_rng(seed).normal(size=400)
    names = np.datetime_as_string(np.arange(first, first + days).astype("datetime64[D]"))
    return {str(name): 0.02 + lift + 0.01 * shared[first + i] + 0.002 * own[i] for i, name in enumerate(names)}


def standing(daily_gain=None, symbols=("AUSDT",)):
    return ComparedChampion(None, 0, symbols, (6,), daily_gain or {})


def losses(days, better, first=0):
    """Paired losses on five-minute rows of `days` days."""
    rng = np.random.default_rng(3)
    when = first * DAY_MS + np.arange(days * 288) * 300_000
    theirs = rng.exponential(size=len(when))
    found = Collected()
    found.add((6,), theirs - better + 0.1 * rng.normal(size=len(when)), theirs, when)
    return found


def test_enough_later_candles_take_precedence_over_walk_forward_tests():
    report = {"cells": CELLS, "detail": {"daily_gain": gains(90, lift=-0.5)}}
    found = versus_champion(losses(40, 0.05), standing(gains(90)), report, 1)
    assert (found["evidence"], found["days"]) == ("later candles", 40)
    assert 4 < found["gain"] < 6
    assert found["lower"] > 0


def test_losses_of_every_fold_count():
    found = losses(20, 0.05)
    for key, columns in losses(20, 0.05, first=20).cells().items():
        found.add(key, *columns)
    assert versus_champion(found, standing(), {"cells": CELLS}, 1)["days"] == 40


@pytest.mark.parametrize(("lift", "surely"), [(0.01, True), (0.0, False), (-0.01, False)])
def test_a_day_after_the_champion_shared_test_days_are_used(lift, surely):
    report = {"cells": CELLS, "detail": {"daily_gain": gains(90, lift=lift, first=1, seed=2)}}
    found = versus_champion(losses(1, 0.05), standing(gains(90)), report, 1)
    assert (found["evidence"], found["days"], found["later_days"]) == ("shared tests", 89, 1)
    assert (found["lower"] > 0) is surely
    assert abs(found["gain"] - 100 * lift) < 0.2


def test_the_same_plan_a_day_later_is_not_better_than_the_champion():
    same = gains(90)
    found = versus_champion(Collected(), standing(same), {"cells": CELLS, "detail": {"daily_gain": same}}, 1)
    assert (found["gain"], found["error"], found["lower"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("champion", "days"),
    [
        (standing(gains(90, first=80)), 10),
        (standing(gains(90), symbols=("AUSDT", "BUSDT")), 0),
        (standing(), 0),
    ],
)
def test_few_shared_days_or_other_markets_give_no_evidence(champion, days):
    report = {"cells": CELLS, "detail": {"daily_gain": gains(90)}}
    found = versus_champion(losses(ENOUGH_DAYS - 1, 0.5), champion, report, 1)
    assert (found["evidence"], found["days"], found["later_days"]) == ("none", days, ENOUGH_DAYS - 1)
