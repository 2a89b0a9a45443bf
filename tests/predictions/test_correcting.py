"""The correction where answers are made: live is replay, and a short window corrects nothing."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import WARMUP
from modelregistry.estimators.correction import OFF, Correction
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.evaluation.served import served
from modelregistry.training.dataset import build_dataset
from predictions.answering import answer
from predictions.correcting import log_factors, reach_of
from tests.modelregistry import champions, invented

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CORRECTION = Correction(candles=576, stride=12, prior=2.0)
ROWS = 20


def ensemble(correction=CORRECTION):
    fitted = replace(champions.estimator("range_predictor"), correction=correction)
    return Ensemble(fitted, champions.estimator("tpsl_classifier"), None)


@pytest.fixture(scope="module")
def grid():
    return invented.grid(WARMUP + 900, markets=2)


def said(grid, rows, of=None):
    found = answer(
        grid, rows, of or ensemble(), symbols=SYMBOLS, history=[0, 0], absences=[[], []], max_age_days=9999
    )  # fmt: skip
    return found.forecast


def test_one_candle_alone_has_the_bits_of_a_batch(grid):
    batch = said(grid, ROWS)
    reach = reach_of(ensemble())
    for row in (0, 7, ROWS - 1):
        end = len(grid) - ROWS + row + 1
        alone = said(grid.span(end - WARMUP - reach, end), 1)
        for side in ("high", "low"):
            assert (getattr(alone, side)[0] == getattr(batch, side)[row]).all()
            assert (getattr(alone, side)[1] == getattr(batch, side)[ROWS + row]).all()


def test_it_changes_the_forecast_and_keeps_it_coherent(grid):
    corrected, plain = said(grid, ROWS), said(grid, ROWS, ensemble(OFF))
    assert (corrected.high != plain.high).any()
    close = np.concatenate([grid.close[0, -ROWS:], grid.close[1, -ROWS:]])[:, None, None]
    assert (np.diff(corrected.high, axis=1) >= 0).all()
    assert (np.diff(corrected.low, axis=1) <= 0).all()
    assert (np.diff(corrected.high, axis=2) >= 0).all()
    assert ((corrected.high >= close) & (corrected.low <= close)).all()


def test_a_window_without_the_reach_is_answered_uncorrected(grid):
    reach = reach_of(ensemble())
    asked = np.ones((2, 1), dtype=bool)
    short = grid.tail(WARMUP + reach - 1)
    assert log_factors(short, 1, ensemble(), asked) is None
    assert log_factors(grid.tail(WARMUP + reach), 1, ensemble(), asked).shape == (2, 4, 2, 7)
    assert (said(short, 1).high == said(short, 1, ensemble(OFF)).high).all()


def test_off_needs_no_candle_more():
    assert reach_of(ensemble(OFF)) == reach_of(None) == reach_of(Ensemble(None, None, None)) == 0
    assert reach_of(ensemble()) == 576 + 72


def test_a_correction_travels_with_the_version():
    fitted = ensemble().range_predictor
    assert type(fitted).from_files(fitted.to_files()).correction == CORRECTION


def test_what_is_answered_is_what_is_scored(grid):
    rows = build_dataset(grid, SYMBOLS, (6, 18, 36, 72), 1, first=int(grid.open_time[-ROWS - 72]))
    scored = served(ensemble().range_predictor, rows)
    known = grid.span(0, len(grid) - 72)
    answered = said(known, ROWS)
    for market in range(2):
        mine = rows.market == market
        assert (scored.high[mine] == answered.high[market * ROWS : (market + 1) * ROWS]).all()
        assert (scored.low[mine] == answered.low[market * ROWS : (market + 1) * ROWS]).all()
