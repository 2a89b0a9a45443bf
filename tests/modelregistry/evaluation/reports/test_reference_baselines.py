"""Reference baselines get the online correction too; means are over cells, with errors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from indicators.features import WARMUP
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.evaluation.baselines.closed_forms import Climatology, walk_quantiles
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.coverage import coverage_check, coverage_summary
from modelregistry.evaluation.reports.cells import CORRECTED, losses_of
from modelregistry.evaluation.reports.reference_baselines import ReferenceForecasts
from modelregistry.evaluation.reports.report import BASELINE_NAMES, Collected, collect_ranges, range_report
from modelregistry.evaluation.significance.pooled import CellLosses, pooled_skill
from modelregistry.training.fit.scale import fit_linear
from tests.modelregistry import champions, invented

CORRECTION = Correction(candles=576, stride=12, prior=2.0)
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def parts():
    """Training rows, and test rows with doubled volatility."""
    grid = invented.grid(WARMUP + 9_500, markets=2)
    rows = build_dataset(grid, SYMBOLS, champions.HORIZONS, 6)
    rows = rows.take(np.flatnonzero(rows.has_features))
    edge = rows.open_time[len(rows) // 2]
    train, test = rows.take(np.flatnonzero(rows.ends < edge)), rows.take(np.flatnonzero(rows.open_time >= edge))
    doubled = replace(test, up=2 * test.up, down=2 * test.down)
    return train, test, doubled


def free(parts, correction, doubled=False):
    train, test = parts[0], parts[2 if doubled else 1]
    return ReferenceForecasts(train, test, fit_linear(train.features, train.log_range), correction)


def test_every_baseline_is_corrected_as_the_candidate_is(parts):
    plain, both = (free(parts, one, doubled=True).losses(0, 0, 0) for one in (NO_CORRECTION, CORRECTION))
    assert tuple(sorted(plain)) == BASELINE_NAMES
    assert set(both) == {*BASELINE_NAMES, *(name + CORRECTED for name in BASELINE_NAMES)}
    for name in BASELINE_NAMES:
        assert np.array_equal(plain[name], both[name])
        assert both[name + CORRECTED].mean() < 0.95 * plain[name].mean(), (
            "the correction reduces the loss of a miscalibrated baseline"
        )


def test_a_corrected_baseline_reads_no_outcome_before_it_is_known(parts):
    train, test = parts[:2]
    linear = fit_linear(train.features, train.log_range)
    at = len(test) // 2
    later = test.open_time >= test.open_time[at]
    changed = replace(test, up=np.where(later[:, None], 5 * test.up, test.up))
    results = [
        part.losses(3, 0, 1) for part in (ReferenceForecasts(train, one, linear, CORRECTION) for one in (test, changed))
    ]
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0]), "the other side is unchanged"
    mine = test.market == 0
    ups = [ReferenceForecasts(train, one, linear, CORRECTION).losses(3, 0, 0) for one in (test, changed)]
    for name in ups[0]:
        assert np.array_equal(ups[0][name][~later[mine]], ups[1][name][~later[mine]])


def test_the_better_of_corrected_and_uncorrected_baseline_counts():
    actual = np.ones(10)
    forecasts = np.full((10, 7), np.nan)
    others = {"ewm": np.full(10, 3.0), "har": np.full(10, 2.0), "ewm_corrected": np.full(10, 1.0)}
    lost = losses_of(forecasts, actual, others | {"har_corrected": np.full(10, 4.0)})
    assert (lost.best, lost.corrected) == ("ewm", ["ewm"])
    assert {name: loss[0] for name, loss in lost.baselines.items()} == {"ewm": 1.0, "har": 2.0}
    assert (lost.own == 1.0).all(), "a refused candle is scored as the best baseline"


def test_the_report_has_bounds_by_horizon_and_coverage_counts(parts):
    train, test = parts[:2]
    found = Collected()
    predictor = replace(champions.estimator("range_predictor"), correction=CORRECTION)
    collect_ranges(found, predictor, test, train, fit_linear(train.features, train.log_range))
    report = range_report(found, test.stride)
    assert [row["horizon"] for row in report["horizons"]] == list(champions.HORIZONS)
    for row in report["horizons"]:
        mine = [cell for cell in report["cells"] if cell["horizon"] == row["horizon"]]
        assert row["skill"] == pytest.approx(np.mean([cell["skill"] for cell in mine]))
        assert row["skill_lower"] < row["skill"] - 1.9 * row["skill_error"]
        assert row["answered"] == 100.0
    for cell in report["cells"]:
        off = max(1.0, 2 * cell["coverage_80_error"])
        assert cell["coverage_80_within"] == (abs(cell["coverage_80"] - 80) <= off)
        assert set(cell["baselines"]) == set(BASELINE_NAMES)
    assert [row["band"] for row in report["coverage"]] == [80, 90]
    assert report["coverage"][0]["cells"] == len(report["cells"]) == 16


def test_pooling_weighs_cells_equally_and_accounts_for_shared_candles():
    rng = np.random.default_rng(1)
    when = np.arange(6000) * 300_000
    gain = 0.1 + rng.normal(size=6000)
    one = CellLosses(10 - gain, np.full(6000, 10.0), when)
    alone, twice = pooled_skill([one], 6, 1), pooled_skill([one, one], 6, 1)
    assert twice == pytest.approx(alone), "a copy of a cell adds no evidence"
    short = CellLosses(np.full(3000, 5.0), np.full(3000, 10.0), when[:3000])
    assert pooled_skill([one, short], 6, 1)["skill"] == pytest.approx((alone["skill"] + 50) / 2)


def test_months_and_cells_outside_their_tolerance_are_counted():
    rng = np.random.default_rng(2)
    when = 1_730_419_200_000 + np.arange(24 * 181) * 3_600_000
    actual = rng.random(len(when))
    levels = np.tile(LEVELS, (len(when), 1))
    good, narrow = coverage_check(levels, actual, when), coverage_check(levels, 0.5 + 1.2 * (actual - 0.5), when)
    assert good["coverage_80_within"]
    assert good["coverage_90_within"]
    assert (good["months"], good["months_80_within"]) == (6, 6)
    assert not narrow["coverage_80_within"]
    assert narrow["months_80_within"] < 3
    eighty, _ = coverage_summary([good, narrow])
    assert (eighty["cells_within"], eighty["cell_months"]) == (1, 12)


def test_walk_quantiles_and_climatology_match_their_definitions():
    rng = np.random.default_rng(3)
    steps = 4000
    highest = np.maximum.accumulate(np.cumsum(rng.normal(size=(2000, steps)) / np.sqrt(steps), axis=1), axis=1)[:, -1]
    forecasts = np.log1p(walk_quantiles(np.array([1.0 / 6]), 36, 0)[0])
    assert (np.abs((highest[:, None] < forecasts).mean(axis=0) - LEVELS) < 0.03).all()
    assert forecasts[3] == pytest.approx(norm.ppf(0.75))
    times = np.arange(288 * 70) * 300_000
    busy = np.where(times // 3_600_000 % 168 < 24, 0.02, 0.01) * rng.random(len(times))
    found = Climatology.fit(times, busy).predict(times)
    assert scores.pinball(found, busy).mean() < 0.97 * scores.pinball(
        np.tile(np.quantile(busy, LEVELS), (len(busy), 1)), busy
    ).mean()  # fmt: skip
    few = Climatology.fit(times[:30], busy[:30]).predict(times[:2])
    assert (few[0] == np.quantile(busy[:30], LEVELS)).all()
