"""Scores are of forecasts as served: corrected by earlier misses only."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import WARMUP
from indicators.proofs.leakage import corrupted, same_bits
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.champion_comparison import ComparedChampion, collect_losses, range_losses
from modelregistry.evaluation.reports.report import Collected, collect_ranges, range_report
from modelregistry.evaluation.reports.served import served_forecast, uncorrected_forecast
from modelregistry.training.fit.scale import fit_linear
from tests.modelregistry import champions, invented

CORRECTION = Correction(candles=576, stride=12, prior=2.0)
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def predictor(correction=CORRECTION):
    return replace(champions.estimator("range_predictor"), correction=correction)


def dataset(grid):
    rows = build_dataset(grid, SYMBOLS, champions.HORIZONS, 7)
    return rows.take(np.flatnonzero(rows.has_features))


@pytest.fixture(scope="module")
def rows():
    return dataset(invented.grid(WARMUP + 9_500, markets=2))


def test_a_row_has_the_same_forecast_alone_and_in_a_batch(rows):
    whole = served_forecast(predictor(), rows)
    for at in (len(rows) - 1, len(rows) - 2, len(rows) // 2):
        alone = served_forecast(predictor(), rows.take(np.array([at])))
        assert same_bits(alone.high[0], whole.high[at]).all()
        assert same_bits(alone.low[0], whole.low[at]).all()
    assert (whole.high != served_forecast(predictor(NO_CORRECTION), rows).high).any()
    assert uncorrected_forecast(predictor(NO_CORRECTION), rows) is None


def test_later_candles_do_not_change_a_forecast(rows):
    at = int(np.median(rows.position))
    grid = corrupted(rows.grid, at + 1, len(rows.grid), np.random.default_rng(0))
    until = np.flatnonzero(rows.position <= at)
    truth = served_forecast(predictor(), rows.take(until))
    changed = served_forecast(predictor(), replace(rows, grid=grid).take(until))
    assert same_bits(truth.high, changed.high).all()
    assert same_bits(truth.low, changed.low).all()


def test_the_report_scores_served_forecasts_and_the_cost_of_the_correction(rows):
    cut = len(rows) // 2
    train, test = rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))
    found = Collected()
    collect_ranges(found, predictor(), test, train, fit_linear(train.features, train.log_range))
    report = range_report(found, test.stride)
    forecast, selected = served_forecast(predictor(), test), test.market == 0
    quantiles = forecast.high[selected, 0] / test.close[selected, None] - 1
    expected = scores.pinball(quantiles, np.expm1(test.up[selected, 0])).mean() * scores.BPS
    (cell,) = (
        one for one in report["cells"] if (one["symbol"], one["horizon"], one["target"]) == ("BTCUSDT", 6, "high")
    )
    assert cell["pinball"] == pytest.approx(expected)
    assert [one["horizon"] for one in report["correction"]] == list(champions.HORIZONS)
    for one, mean in zip(report["correction"], report["horizons"], strict=True):
        assert one["coverage_80"] == pytest.approx(mean["coverage_80"])
        assert one["month_off_80"] < one["month_off_80_uncorrected"], "the small estimator is badly calibrated"
        assert one["affordable"] == (one["loss_change"] <= 0.3)
    plain = Collected()
    collect_ranges(plain, predictor(NO_CORRECTION), test, train, fit_linear(train.features, train.log_range))
    assert "correction" not in range_report(plain, test.stride)


def test_the_champion_comparison_uses_served_forecasts(rows):
    found = Collected()
    collect_losses(found, range_losses, predictor(), ComparedChampion(predictor(NO_CORRECTION), 0), rows, 0.002)
    same = Collected()
    collect_losses(same, range_losses, predictor(), ComparedChampion(predictor(), 0), rows, 0.002)
    for horizon in champions.HORIZONS:
        own, champion_losses, _ = found.cells()[horizon,]
        assert own.mean() != champion_losses.mean()
        own, champion_losses, _ = same.cells()[horizon,]
        assert (own == champion_losses).all()
