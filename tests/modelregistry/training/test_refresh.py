"""The refresh rule: same recipe, newer candles, calibrated, and surely not much worse than the champion."""

from dataclasses import replace

import numpy as np
import pytest

from modelregistry.evaluation.reports.champion_comparison import ComparedChampion, loss_increase, versus_champion
from modelregistry.evaluation.reports.report import Collected
from modelregistry.training.fit.plan import plan_for
from modelregistry.training.refresh import Recipe, refresh_verdict

DAY_MS = 86_400_000
PLAN = plan_for(290_000, (6, 72))
CHAMPION = Recipe("features", (6, 72), ("AUSDT",), {**PLAN.as_hyperparameters(), "rounds": [80, 40]}, 1_700_000_000_000)
NEWER = replace(
    CHAMPION,
    # More candles give another number of folds, another size of tests, and may select other rounds.
    hyperparameters={**CHAMPION.hyperparameters, "folds": 2, "test_days": 90, "stride": 6, "rounds": [150, 80]},
    trained_until_ms=CHAMPION.trained_until_ms + 40 * DAY_MS,
)
CELL = {
    "symbol": "AUSDT",
    "horizon": 6,
    "target": "high",
    "coverage_80": 80.5,
    "coverage_90": 89.8,
    "coverage_80_error": 0.5,
}
VERSUS = {
    "evidence": "later candles",
    "days": 40,
    "later_days": 40,
    "gain": -0.1,
    "error": 0.1,
    "lower": -0.3,
    "increase": 0.1,
    "increase_upper": 0.31,
}
REPORT = {"test_days": 90, "cells": [CELL], "versus_champion": VERSUS}


def verdict(candidate=NEWER, report=REPORT, margin=0.5):
    return refresh_verdict("range_predictor", candidate, CHAMPION, report, margin)


def reason(**changes):
    found = verdict(**changes)
    assert not found.accepted
    (words,) = found.reasons
    return words


def test_a_version_that_is_a_little_worse_is_a_refresh_and_no_word_calls_it_better():
    assert verdict() == (found := verdict(margin=0.31))
    assert found.accepted
    assert found.reasons == []


def test_the_bound_counts_and_not_the_mean():
    assert reason(margin=0.3) == (
        "its loss may be up to 0.31 % above that of the champion on 40 days (mean +0.10 %), more than the margin of 0.3 %"
    )
    assert not verdict(report={**REPORT, "versus_champion": {**VERSUS, "increase_upper": float("nan")}}).accepted


def test_candles_that_are_not_newer_are_refused():
    older = replace(NEWER, trained_until_ms=CHAMPION.trained_until_ms)
    assert "not after those of the champion (2023-11-14 22:13)" in reason(candidate=older)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feature_hash": "others"}, "its features are not those of the champion"),
        ({"horizons": (6, 36)}, "its horizons are 6, 36, those of the champion 6, 72"),
        ({"symbols": ("BUSDT",)}, "it was trained without AUSDT, which the champion covers"),
        ({"hyperparameters": {**NEWER.hyperparameters, "seed": 2}}, "settings are not those of the champion: seed"),
        ({"hyperparameters": {**NEWER.hyperparameters, "estimator": "own"}}, "of the champion: estimator"),
        ({"hyperparameters": {**NEWER.hyperparameters, "trial": 7, "eta": 0.1}}, "of the champion: eta, trial"),
        ({"hyperparameters": {**NEWER.hyperparameters, "corrected": True}}, "of the champion: corrected"),
    ],
)
def test_another_recipe_is_refused(changes, words):
    assert words in reason(candidate=replace(NEWER, **changes))


def test_a_market_more_is_no_other_recipe():
    assert verdict(candidate=replace(NEWER, symbols=("AUSDT", "BUSDT"))).accepted


@pytest.mark.parametrize(
    ("kind", "cell", "words"),
    [
        ("range_predictor", {**CELL, "coverage_90": 84.0}, "horizon 6: 90 % bands cover 84.0 % of outcomes"),
        ("tpsl_classifier", {"calibration_slope": 0.7}, "calibration slope 0.70 is outside 0.8 to 1.25"),
        (
            "signal_classifier",
            {
                "horizon": 72,
                "shares": {"buy": 0.3, "sell": 0.3},
                "calibration_error_buy": 0.07,
                "calibration_error_sell": 0.11,
            },
            "P(sell) differs from the observed share by 11.0 points in the mean",
        ),
    ],
)
def test_an_uncalibrated_version_is_refused(kind, cell, words):
    found = refresh_verdict(kind, NEWER, CHAMPION, {**REPORT, "cells": [cell]}, 0.5)
    assert found.reasons == [words]


def test_without_rows_to_compare_on_it_is_refused():
    assert reason(report={**REPORT, "versus_champion": None}) == (
        "there is no candle on which it could be compared with the champion"
    )
    for evidence in ("none", "shared tests"):
        few = {**VERSUS, "evidence": evidence, "later_days": 12}
        assert reason(report={**REPORT, "versus_champion": few}) == (
            "not enough candles since the training of the champion: 12 of 30 days"
        )
    assert reason(report={**REPORT, "test_days": 10}) == "tested on 10 days, fewer than the required 30"


def losses(shift, days=40, seed=1):
    """Paired losses of two horizons whose level changes from day to day."""
    rng = np.random.default_rng(seed)
    when = np.arange(days * 288) * 300_000
    found = Collected()
    for horizon, size in ((6, 1.0), (72, 5.0)):
        champion = size * rng.gamma(2.0, np.exp(0.5 * rng.normal(size=days)).repeat(288))
        own = champion * (1 + shift + 0.05 * rng.normal(size=days).repeat(288))
        found.add((horizon,), own, champion, when)
    return found


def test_the_bound_covers_the_true_increase_and_horizons_count_the_same():
    covered = 0
    for seed in range(40):
        found = loss_increase(losses(0.01, seed=seed).cells().values())
        assert found["increase"] < found["increase_upper"]
        covered += found["increase_upper"] >= 1.0
    assert covered >= 36, "the upper bound of a central 95 % interval covers in 97.5 % of cases"
    champion, when = np.ones(5000), np.arange(5000) * 300_000
    mixed = loss_increase([(1.2 * champion, champion, when), (100 * champion, 100 * champion, when)])
    assert mixed["increase"] == pytest.approx(10.0)


def test_the_increase_is_part_of_the_champion_comparison_on_later_candles():
    found = versus_champion(losses(0.01), ComparedChampion(None, 0), {"cells": []}, 1)
    assert found["evidence"] == "later candles"
    assert found["increase"] == pytest.approx(-found["gain"], abs=0.3)
    assert found["increase_upper"] > found["increase"]
    assert "increase" not in versus_champion(losses(0.01, days=5), ComparedChampion(None, 0), {"cells": []}, 1)
