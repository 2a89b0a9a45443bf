"""The guard suppresses a novelty measure that flags too many recent candles."""

from dataclasses import replace

import numpy as np
import pytest

from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.online.guard import NO_GUARD, ONE_WEEK_GUARD, Guard
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.training.fit.range_predictor import KEY_FEATURES, fit_novelty
from tests.modelregistry import champions, invented

GUARD = Guard(candles=600, share=0.3)
NUMBERS = np.arange(0, 6000, 12)


def test_a_burst_stays_flagged_and_a_flood_is_suppressed():
    flagged = np.zeros(len(NUMBERS), dtype=bool)
    flagged[200:210] = True  # ten of the 50 candles of a window
    flagged[300:400] = True
    found = GUARD.suppressed_at(NUMBERS, flagged, NUMBERS, 12)
    assert not found[:300].any()
    assert not found[300:315].any(), "15 of 50 are exactly the share"
    assert found[315:400].all()
    assert not found[435:].any()


def test_a_single_candle_gives_the_result_of_a_batch():
    rng = np.random.default_rng(1)
    flagged = rng.random(len(NUMBERS)) < 0.3
    at_number = rng.integers(3000, 6000, 200)
    whole = GUARD.suppressed_at(NUMBERS, flagged, at_number, 12)
    assert 0 < whole.sum() < len(whole)
    for at, expected in zip(at_number, whole, strict=True):
        window = (at - GUARD.candles < NUMBERS) & (at >= NUMBERS)
        assert GUARD.suppressed_at(NUMBERS[window], flagged[window], np.array([at]), 12)[0] == expected


def test_few_candles_or_no_guard_never_suppress():
    every = np.ones(len(NUMBERS), dtype=bool)
    assert not GUARD.suppressed_at(NUMBERS[:20], every[:20], np.array([240]), 12).any()
    assert not NO_GUARD.suppressed_at(NUMBERS, every, NUMBERS, 12).any()


def test_the_guard_is_stored_and_older_versions_have_none():
    fitted = champions.estimator("range_predictor")
    guarded = replace(fitted, novelty=replace(fitted.novelty, guard=GUARD))
    assert RangePredictor.from_files(guarded.to_files()).novelty.guard == GUARD
    kept = fitted.novelty.as_parameters()
    del kept["guard"]
    assert type(fitted.novelty).from_parameters(kept).guard == NO_GUARD
    for wrong in ({"candles": -1}, {"candles": 10**6}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="out of range"):
            Guard.from_parameters({**GUARD.as_parameters(), **wrong})


def test_trained_versions_have_a_guard():
    rows = build_dataset(invented.grid(4104 + 600), ("AUSDT",), (6,), 3)
    assert fit_novelty(rows, KEY_FEATURES).guard == ONE_WEEK_GUARD
