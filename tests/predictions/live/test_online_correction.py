"""Online correction and guard in forecasts: live equals batch, a short window corrects nothing."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import WARMUP
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.estimators.online.guard import Guard
from modelregistry.evaluation.reports.served import served_forecast
from predictions.forecasting.forecasts import forecast_candles
from predictions.live.online_correction import reach_of, window_inputs
from tests.modelregistry import champions, invented
from tests.modelregistry.champions import often_flagging_novelty

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CORRECTION = Correction(candles=576, stride=12, prior=2.0)
ROWS = 20
FLAG = "OUT_OF_DISTRIBUTION"


def ensemble(correction=CORRECTION):
    fitted = replace(champions.estimator("range_predictor"), correction=correction)
    return Ensemble(fitted, champions.estimator("tpsl_classifier"), None)


@pytest.fixture(scope="module")
def grid():
    return invented.grid(WARMUP + 900, markets=2)


def forecasts(grid, rows, of=None):
    return forecast_candles(
        grid, rows, of or ensemble(), symbols=SYMBOLS, history=[0, 0], absences=[[], []], max_age_days=9999
    )  # fmt: skip


def ranges(grid, rows, of=None):
    return forecasts(grid, rows, of).ranges


def guarded_ensemble(correction=CORRECTION, share=0.5):
    """Ensemble that flags about half of all candles, with a guard at the given share."""
    found = ensemble(correction)
    novelty = often_flagging_novelty(Guard(candles=144, share=share))
    return replace(found, range_predictor=replace(found.range_predictor, novelty=novelty))


def test_one_candle_alone_is_bit_identical_to_a_batch(grid):
    batch = ranges(grid, ROWS)
    reach = reach_of(ensemble())
    for row in (0, 7, ROWS - 1):
        end = len(grid) - ROWS + row + 1
        alone = ranges(grid.span(end - WARMUP - reach, end), 1)
        for side in ("high", "low"):
            assert (getattr(alone, side)[0] == getattr(batch, side)[row]).all()
            assert (getattr(alone, side)[1] == getattr(batch, side)[ROWS + row]).all()


def test_it_changes_the_forecast_and_keeps_it_coherent(grid):
    corrected, plain = ranges(grid, ROWS), ranges(grid, ROWS, ensemble(NO_CORRECTION))
    assert (corrected.high != plain.high).any()
    close = np.concatenate([grid.close[0, -ROWS:], grid.close[1, -ROWS:]])[:, None, None]
    assert (np.diff(corrected.high, axis=1) >= 0).all()
    assert (np.diff(corrected.low, axis=1) <= 0).all()
    assert (np.diff(corrected.high, axis=2) >= 0).all()
    assert ((corrected.high >= close) & (corrected.low <= close)).all()


def test_a_window_without_the_reach_is_not_corrected(grid):
    reach = reach_of(ensemble())
    wanted = np.ones((2, 1), dtype=bool)
    short = grid.tail(WARMUP + reach - 1)
    assert window_inputs(short, 1, ensemble(), wanted).log_factors is None
    reaching = grid.tail(WARMUP + reach)
    assert window_inputs(reaching, 1, ensemble(), wanted).log_factors.shape == (2, 4, 2, 7)
    assert (ranges(short, 1).high == ranges(short, 1, ensemble(NO_CORRECTION)).high).all()


def test_without_correction_the_reach_is_zero():
    assert reach_of(ensemble(NO_CORRECTION)) == reach_of(None) == reach_of(Ensemble(None, None, None)) == 0
    assert reach_of(ensemble()) == 576 + 72


def test_a_correction_is_saved_with_the_version():
    fitted = ensemble().range_predictor
    assert type(fitted).from_files(fitted.to_files()).correction == CORRECTION


def test_forecasts_equal_the_scored_ones(grid):
    rows = build_dataset(grid, SYMBOLS, (6, 18, 36, 72), 1, first=int(grid.open_time[-ROWS - 72]))
    scored = served_forecast(ensemble().range_predictor, rows)
    known = grid.span(0, len(grid) - 72)
    live = ranges(known, ROWS)
    for market in range(2):
        mine = rows.market == market
        assert (scored.high[mine] == live.high[market * ROWS : (market + 1) * ROWS]).all()
        assert (scored.low[mine] == live.low[market * ROWS : (market + 1) * ROWS]).all()


@pytest.mark.parametrize("correction", [CORRECTION, NO_CORRECTION], ids=["corrected", "guarded only"])
def test_the_guard_of_one_candle_alone_equals_that_of_a_batch(grid, correction):
    of = guarded_ensemble(correction)
    batch, reach = forecasts(grid, 200, of), reach_of(of)
    assert (batch.inputs.log_factors is None) == (correction == NO_CORRECTION)
    assert 0.1 < batch.inputs.guard_suppresses.mean() < 0.9
    for market, row in ((0, 0), (0, 60), (1, 90), (1, 199)):
        end = len(grid) - 200 + row + 1
        alone, at = forecasts(grid.span(end - WARMUP - reach, end), 1, of), batch.position[market, row]
        assert alone.inputs.guard_suppresses[market] == batch.inputs.guard_suppresses[at]
        assert alone.degraded(market, 0) == batch.degraded(market, row)
        assert alone.notes(market, 0) == batch.notes(market, row)


def test_a_suppressed_flag_is_a_detail_and_not_a_reason(grid):
    unguarded, guarded = forecasts(grid, 200, guarded_ensemble(share=1.0)), forecasts(grid, 200, guarded_ensemble())
    flagged = unguarded.degradations[FLAG]
    assert not unguarded.suppressed_flags.any()
    assert (guarded.degradations[FLAG] == (flagged & ~guarded.inputs.guard_suppresses)).all()
    assert (guarded.suppressed_flags == (flagged & guarded.inputs.guard_suppresses)).all()
    market, row = np.argwhere(guarded.suppressed_flags[guarded.position])[0]
    assert FLAG not in guarded.degraded(market, row)
    assert guarded.notes(market, row).keys() == {FLAG}
    assert unguarded.degraded(market, row)[0] == FLAG
    assert unguarded.notes(market, row) == {}
    short = forecasts(grid.tail(WARMUP + 10), 1, guarded_ensemble())
    assert short.inputs.guard_suppresses is None, "a window without the reach has neither guard nor correction"
