"""Features compared with simple, slow implementations."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from indicators.calendar.local_time import local_ms
from indicators.candles import INTERVAL_MS
from indicators.features import FEATURE_NAMES, WARMUP, FeatureSet, build_features
from indicators.features.seasonality import DAYS
from tests.indicators.series import walk, with_hole

GRID = walk(WARMUP + 40, seed=11)
ROW = dict(zip(FEATURE_NAMES, build_features(GRID, 1, FeatureSet())[0, 0].astype(float), strict=True))
SPAN = np.log(GRID.high[0] / GRID.low[0])
LOG_SPAN = np.log(np.maximum(SPAN, 1e-5))
CLOSE = np.log(GRID.close[0])
MOVES = np.diff(CLOSE)
T = len(GRID) - 1
LEVEL = math.exp(ROW["volatility_level"])


def test_level_is_the_decayed_parkinson_volatility():
    weights = 0.5 ** (np.arange(128)[::-1] / 24)
    variance = (SPAN[-128:] ** 2 / (4 * math.log(2)) * weights).sum() / weights.sum()
    assert ROW["volatility_level"] == pytest.approx(0.5 * math.log(variance), rel=1e-6)


@pytest.mark.parametrize("length", [1, 12, 72, 288, 2016])
def test_har_is_the_mean_log_range_above_the_level(length):
    expected = LOG_SPAN[-length:].mean() - ROW["volatility_level"] - 0.5 * math.log(4 * math.log(2))
    assert ROW[f"har_{length}"] == pytest.approx(expected, abs=1e-5)


def test_momentum_and_extremes_are_in_units_of_the_level():
    assert ROW["momentum_36"] == pytest.approx((CLOSE[-1] - CLOSE[-37]) / LEVEL / 6, rel=1e-4)
    assert ROW["momentum_288"] == pytest.approx((CLOSE[-1] - CLOSE[-289]) / LEVEL / math.sqrt(288), rel=1e-4)
    high = (np.log(GRID.high[0, -72:].max()) - CLOSE[-1]) / LEVEL / math.sqrt(72)
    assert ROW["below_high_72"] == pytest.approx(high, rel=1e-4)
    assert ROW["efficiency_72"] == pytest.approx(abs(MOVES[-72:].sum()) / np.abs(MOVES[-72:]).sum(), rel=1e-4)


@pytest.mark.parametrize("horizon", [6, 18, 36, 72])
def test_season_is_the_mean_range_of_the_coming_slots_on_the_days_before(horizon):
    days = [SPAN[T + 1 + j - 288 * d] for d in range(1, DAYS + 1) for j in range(horizon)]
    assert ROW[f"season_{horizon}"] == pytest.approx(math.log(np.mean(days) / SPAN[-4032:].mean()), abs=1e-5)


@pytest.mark.parametrize("horizon", [6, 72])
def test_week_is_the_gap_of_the_same_slots_one_and_two_weeks_ago(horizon):
    gaps = []
    for j in range(1, horizon + 1):
        daily = np.mean([LOG_SPAN[T + j - 288 * d] for d in range(1, DAYS + 1)])
        gaps.append((2 * daily + LOG_SPAN[T + j - 2016] + LOG_SPAN[T + j - 4032]) / 4 - daily)
    assert ROW[f"week_{horizon}"] == pytest.approx(np.mean(gaps), abs=1e-5)


def test_season_leaves_missing_days_out():
    slots = [T + 1 + j - 288 * 3 for j in range(6)]
    hole = with_hole(GRID, slots[0], slots[-1] + 1)
    found = build_features(hole, 1)[0, 0, FEATURE_NAMES.index("season_6")]
    days = [SPAN[T + 1 + j - 288 * d] for d in range(1, DAYS + 1) if d != 3 for j in range(6)]
    usual = (SPAN[-4032:].sum() - SPAN[slots].sum()) / (4032 - 6)
    assert found == pytest.approx(math.log(np.mean(days) / usual), abs=1e-5)


def test_volume_features_compare_with_the_day_and_with_the_same_slots():
    volume = GRID.volume[0]
    assert ROW["volume_12"] == pytest.approx(math.log(volume[-12:].mean() / volume[-288:].mean()), rel=1e-4)
    slots = [volume[T - j - 288 * d] for d in range(1, DAYS + 1) for j in range(36)]
    assert ROW["volume_surprise_36"] == pytest.approx(math.log(volume[-36:].mean() / np.mean(slots)), rel=1e-4)
    expected = np.corrcoef(np.log(volume[-72:]), LOG_SPAN[-72:])[0, 1]
    assert ROW["volume_span_72"] == pytest.approx(expected, rel=1e-4)


def test_jump_share_is_high_when_one_candle_made_the_variance():
    moves = MOVES[-72:]
    smooth = math.pi / 2 * sum(abs(MOVES[-72:][i]) * abs(MOVES[-73:][i]) for i in range(72))
    assert ROW["jump_share_72"] == pytest.approx(1 - smooth / (moves**2).sum(), abs=1e-4)


@pytest.mark.parametrize(
    ("city", "zone"), [("new_york", "America/New_York"), ("london", "Europe/London"), ("tokyo", "Asia/Tokyo")]
)
def test_local_time_agrees_with_the_time_zone_database(city, zone):
    hours = np.arange(datetime(2010, 1, 1, tzinfo=UTC).timestamp(), datetime(2027, 1, 1, tzinfo=UTC).timestamp(), 3600)
    times = (hours[::7] * 1000).astype(np.int64)
    # Every hour around the changes, one in seven elsewhere.
    offsets = [ZoneInfo(zone).utcoffset(datetime.fromtimestamp(t / 1000, ZoneInfo(zone))) for t in times]
    expected = [int(offset.total_seconds() * 1000) for offset in offsets]
    assert (local_ms(times, city) - times).tolist() == expected


def test_daylight_saving_changes_at_the_hour():
    for city, moment in (
        ("new_york", "2024-03-10T07:00"),
        ("new_york", "2024-11-03T06:00"),
        ("london", "2024-03-31T01:00"),
    ):
        change = np.datetime64(moment, "ms").astype(np.int64)
        before, after = local_ms(np.array([change - 1, change]), city) - np.array([change - 1, change])
        assert abs(after - before) == 3_600_000


def test_sessions_ahead_are_shares_of_the_coming_candles():
    # Friday 2024-07-05 19:30 UTC is 15:30 in New York, half an hour before the close and 4.5 h before the weekend.
    closes = np.datetime64("2024-07-05T19:30", "ms").astype(np.int64)
    grid = walk(WARMUP, start_ms=int(closes) - WARMUP * INTERVAL_MS)
    row = dict(zip(FEATURE_NAMES, build_features(grid, 1)[0, 0], strict=True))
    assert row["new_york_ahead_6"] == 1.0
    assert row["new_york_ahead_18"] == pytest.approx(6 / 18)
    assert row["new_york_past_72"] == 1.0
    assert row["london_ahead_6"] == 0.0
    assert row["weekend_ahead_36"] == 0.0
    assert row["weekend_ahead_72"] == pytest.approx(18 / 72)
    assert row["new_york_clock"] == pytest.approx(15.5 / 24)
    assert row["to_next_hour"] == pytest.approx(0.5)
