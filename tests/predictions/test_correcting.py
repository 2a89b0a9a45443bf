"""The correction where answers are made: live is replay, and a short window corrects nothing."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import WARMUP
from modelregistry.estimators.correction import OFF, Correction
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.guard import Guard
from modelregistry.evaluation.served import served
from modelregistry.training.dataset import build_dataset
from predictions.answering import forecast_candles
from predictions.correcting import log_factors, reach_of
from tests.modelregistry import champions, invented
from tests.modelregistry.champions import wavering

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CORRECTION = Correction(candles=576, stride=12, prior=2.0)
ROWS = 20
STRANGE = "OUT_OF_DISTRIBUTION"


def ensemble(correction=CORRECTION):
    fitted = replace(champions.estimator("range_predictor"), correction=correction)
    return Ensemble(fitted, champions.estimator("tpsl_classifier"), None)


@pytest.fixture(scope="module")
def grid():
    return invented.grid(WARMUP + 900, markets=2)


def answers(grid, rows, of=None):
    return forecast_candles(
        grid, rows, of or ensemble(), symbols=SYMBOLS, history=[0, 0], absences=[[], []], max_age_days=9999
    )  # fmt: skip


def said(grid, rows, of=None):
    return answers(grid, rows, of).forecast


def wary(correction=CORRECTION, share=0.5):
    """An ensemble whose measure calls about half of all candles strange, and is believed up to a share of them."""
    found = ensemble(correction)
    measure = wavering(Guard(candles=144, share=share))
    return replace(found, range_predictor=replace(found.range_predictor, novelty=measure))


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


@pytest.mark.parametrize("correction", [CORRECTION, OFF], ids=["corrected", "guarded only"])
def test_distrust_of_one_candle_alone_is_that_of_a_batch(grid, correction):
    of = wary(correction)
    batch, reach = answers(grid, 200, of), reach_of(of)
    assert (batch.corrections is None) == (correction == OFF)
    assert 0.1 < batch.guard_suppresses.mean() < 0.9
    for market, row in ((0, 0), (0, 60), (1, 90), (1, 199)):
        end = len(grid) - 200 + row + 1
        alone, at = answers(grid.span(end - WARMUP - reach, end), 1, of), batch.position[market, row]
        assert alone.guard_suppresses[market] == batch.guard_suppresses[at]
        assert alone.degraded(market, 0) == batch.degraded(market, row)
        assert alone.notes(market, 0) == batch.notes(market, row)


def test_what_is_not_believed_is_told_and_no_reason(grid):
    believed, doubted = answers(grid, 200, wary(share=1.0)), answers(grid, 200, wary())
    strange = believed.degradations[STRANGE]
    assert not believed.suppressed_flags.any()
    assert (doubted.degradations[STRANGE] == (strange & ~doubted.guard_suppresses)).all()
    assert (doubted.suppressed_flags == (strange & doubted.guard_suppresses)).all()
    market, row = np.argwhere(doubted.suppressed_flags[doubted.position])[0]
    assert STRANGE not in doubted.degraded(market, row)
    assert doubted.notes(market, row).keys() == {STRANGE}
    assert believed.degraded(market, row)[0] == STRANGE
    assert believed.notes(market, row) == {}
    short = answers(grid.tail(WARMUP + 10), 1, wary())
    assert short.guard_suppresses is None, "a window without the reach believes, as it corrects nothing"
