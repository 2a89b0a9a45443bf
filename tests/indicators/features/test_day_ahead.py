"""Seasons and calendar a whole day ahead, for horizons above 72: the rest unchanged, live equal to batch."""

from datetime import UTC, datetime

import numpy as np
import pytest

from indicators.errors import FeatureError
from indicators.features import (
    FEATURE_NAMES,
    WARMUP,
    FeatureSet,
    NewestFeatures,
    build_features,
    features_for,
    iter_features,
)
from indicators.proofs.leakage import check_leakage
from modelregistry.apps import SIX_HOURS
from tests.indicators.series import bits, walk, with_hole

DAY_AHEAD = FeatureSet(day_ahead=True)
ADDED = [name for name in DAY_AHEAD.names if name not in FEATURE_NAMES]
ROWS = 60
LONG = walk(WARMUP + ROWS - 1, markets=2, seed=4)
MONDAY = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)


def column(built, name):
    return built[..., DAY_AHEAD.names.index(name)]


def test_only_horizons_above_six_hours_look_a_day_ahead():
    assert features_for((6, 18, 36, SIX_HOURS)) == FeatureSet()
    assert features_for((12, SIX_HOURS + 1)).day_ahead
    assert all(name.endswith("_288") for name in ADDED)
    assert {"season_log_288", "week_288", "weekend_ahead_288", "holiday_ahead_288"} <= set(ADDED)


def test_all_other_columns_keep_their_bits():
    built, plain = build_features(LONG, ROWS, DAY_AHEAD), build_features(LONG, ROWS)
    for at, name in enumerate(FEATURE_NAMES):
        assert (bits(column(built, name)) == bits(plain[..., at])).all(), name


def test_the_weekly_profile_of_the_coming_day_is_that_of_one_and_two_weeks_ago():
    built = build_features(LONG, 1, DAY_AHEAD)
    logs = np.log(np.maximum(np.log(LONG.high / LONG.low), 1e-5))
    usual = logs[:, -4032:].mean(axis=1)
    ago = [logs[:, len(LONG) - 2016 * week : len(LONG) - 2016 * week + 288].mean(axis=1) for week in (1, 2)]
    assert column(built, "week_288")[:, 0] == pytest.approx((2 * usual + sum(ago)) / 4 - usual, abs=1e-6)
    past = logs[:, -72:].mean(axis=1)
    assert column(built, "season_log_288")[:, 0] == pytest.approx(usual - past, abs=1e-6)


def test_the_calendar_counts_the_coming_day():
    grid = walk(WARMUP + 288 * 6, start_ms=MONDAY - WARMUP * 300_000, seed=2)
    built = build_features(grid, 288 * 6, DAY_AHEAD)[0]
    times = grid.open_time[-len(built) :]
    friday = int(datetime(2024, 1, 5, tzinfo=UTC).timestamp() * 1000)
    before = times == friday - 300_000
    assert column(built, "weekend_ahead_288")[before] == 0.0
    assert column(built, "weekend_ahead_288")[times == friday + 143 * 300_000] == pytest.approx(0.5)
    # The employment report of 2024-01-05 comes within the day that follows Thursday's last candle.
    assert column(built, "jobs_ahead_288")[before] == 1.0
    assert column(built, "jobs_ahead_72")[before] == 0.0


@pytest.mark.parametrize("chunk", [1, 13])
def test_batch_blocks_and_live_have_the_same_bits(chunk):
    grid = with_hole(with_hole(LONG, 2000, 2010), WARMUP - 300, WARMUP - 290, markets=[1])
    whole = build_features(grid, ROWS, DAY_AHEAD)
    blocks = np.concatenate([block for _, block in iter_features(grid, chunk, DAY_AHEAD)], axis=1)
    assert (bits(blocks) == bits(whole)).all()
    newest = NewestFeatures.from_grid(grid.span(0, WARMUP), DAY_AHEAD)
    live = [newest.rows()[0]]
    for at in range(WARMUP, len(grid)):
        newest.push(int(grid.open_time[at]), grid.span(at, at + 1).columns()[:, :, 0])
        live.append(newest.rows()[0])
    assert (bits(np.stack(live, axis=1)) == bits(whole)).all()


def test_nothing_depends_on_a_later_candle():
    grid = walk(WARMUP + 310, markets=1, seed=3)
    report = check_leakage(
        lambda part, rows: build_features(part, rows, DAY_AHEAD),
        DAY_AHEAD.names,
        grid,
        [WARMUP, WARMUP + 5],
        warmup=WARMUP,
        ahead=300,
    )
    assert report.clean


def test_a_version_that_looks_a_day_ahead_says_which_setting_it_needs():
    assert DAY_AHEAD.positions(FEATURE_NAMES, {})
    with pytest.raises(FeatureError, match="write a horizon above 72 into DEFAULT_HORIZONS"):
        FeatureSet().positions(DAY_AHEAD.names, {})
