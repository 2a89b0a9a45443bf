"""Paired comparison of two versions by market and horizon."""

import numpy as np
import pytest

from modelregistry.evaluation.reports.version_comparison import comparison_report, comparison_sentence
from modelregistry.evaluation.significance.pooled import CellLosses

DAYS = 40


def cell(better, seed=0, offset_rows=0):
    """Losses of two forecasts of one market; the first is lower by a share of the second's mean."""
    rng = np.random.default_rng(seed)
    when = (offset_rows + np.arange(DAYS * 288)) * 300_000
    second = rng.exponential(size=len(when))
    return CellLosses(second - better + 0.05 * rng.normal(size=len(when)), second, when)


def report(*betters):
    return comparison_report({(f"M{i}", 6): cell(better, seed=i) for i, better in enumerate(betters)}, stride=1)


def test_every_market_and_horizon_has_a_gain_with_interval_and_test():
    found = comparison_report({("A", 6): cell(0.1), ("A", 18): cell(-0.1), ("B", 6): cell(0.1, seed=1)}, stride=1)
    assert [(one["symbol"], one["horizon"]) for one in found["cells"]] == [("A", 6), ("A", 18), ("B", 6)]
    assert [one["horizon"] for one in found["horizons"]] == [6, 18]
    first, worse = found["cells"][:2]
    assert first["gain"] == pytest.approx(0.1 / first["second_loss"], rel=0.02)
    assert first["gain"] == pytest.approx(1 - first["first_loss"] / first["second_loss"])
    assert first["lower"] < first["gain"] < first["upper"]
    assert (first["rows"], first["days"]) == (DAYS * 288, DAYS)
    assert first["p_value"] < 0.001
    assert worse["p_value"] < 0.001, "a difference in either direction is one"
    assert worse["upper"] < 0


@pytest.mark.parametrize(
    ("betters", "words"),
    [((0.1, 0.1), "surely better"), ((-0.1, -0.1), "surely worse"), ((0.1, -0.1), "no sure difference")],
)
def test_one_sentence_says_which_is_better(betters, words):
    sentence = comparison_sentence({**report(*betters), "first": "range one", "second": "range two"})
    assert sentence.startswith("range one is surely" if "surely " in words and "no" not in words else "There is no")
    assert words in sentence
    assert "range two" in sentence
    assert "95 % interval" in sentence


def test_a_version_equals_itself():
    found = comparison_report({("A", 6): CellLosses(np.ones(600), np.ones(600), np.arange(600) * 300_000)}, stride=1)
    assert (found["gain"], found["lower"], found["upper"], found["p_value"]) == (0.0, 0.0, 0.0, 1.0)


def test_markets_that_move_together_do_not_count_twice():
    alone, twice = report(0.01), comparison_report({("A", 6): cell(0.01), ("B", 6): cell(0.01)}, stride=1)
    assert twice["error"] == pytest.approx(alone["error"], rel=0.01)
