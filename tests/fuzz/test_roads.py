"""Pairs of mutated requests: the fast road and Django answer alike."""

import pytest

from tests.fuzz.engine import engine_with_champions
from tests.fuzz.roads import compare

PAIRS = 400


@pytest.mark.django_db(transaction=True)
def test_fast_road_and_django_give_equal_answers(tmp_path):
    with engine_with_champions(tmp_path) as keys:
        pairs = compare(keys, PAIRS)
    assert pairs.n_pairs == PAIRS
    assert pairs.n_fast > PAIRS / 20, "the fast road answered too few requests"
    assert pairs.n_direct > PAIRS / 40, "too few reads were answered directly"
    assert {200, 400, 401, 403, 405, 409, 415} <= set(pairs.statuses)
    assert pairs.differences == {}, "\n\n".join(f"{what}: {example}" for what, example in pairs.differences.items())
