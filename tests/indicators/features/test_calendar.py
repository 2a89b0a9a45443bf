"""Holidays and release dates compared with pandas, the time zone database and real candles."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from pandas.tseries import holiday

from indicators.calendar.days import day_number, weekday
from indicators.calendar.holidays import JUNETEENTH_SINCE, new_york_holidays
from indicators.calendar.releases import KNOWN_UNTIL, RELEASES, release_times
from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.features import FEATURE_NAMES, WARMUP, build_features
from tests.indicators.series import walk

NEW_YORK = ZoneInfo("America/New_York")
NAMES = sorted(RELEASES)


class Exchange(holiday.AbstractHolidayCalendar):
    """The same holidays as pandas rules."""

    rules = [
        holiday.Holiday("New Year", month=1, day=1, observance=holiday.sunday_to_monday),
        holiday.USMartinLutherKingJr,
        holiday.USPresidentsDay,
        holiday.GoodFriday,
        holiday.USMemorialDay,
        holiday.Holiday(
            "Juneteenth",
            month=6,
            day=19,
            start_date=f"{JUNETEENTH_SINCE}-01-01",
            observance=holiday.nearest_workday,
        ),
        holiday.Holiday("Independence", month=7, day=4, observance=holiday.nearest_workday),
        holiday.USLaborDay,
        holiday.USThanksgivingDay,
        holiday.Holiday("Christmas", month=12, day=25, observance=holiday.nearest_workday),
    ]


def test_holidays_are_those_of_pandas_rules():
    expected = Exchange().holidays("2010-01-01", "2099-12-31").to_numpy().astype("datetime64[D]").astype(np.int64)
    # A New Year's Day on a Saturday is no weekday for either, and pandas lists it.
    expected = expected[weekday(expected) < 5]
    assert [day for year in range(2010, 2100) for day in new_york_holidays(year)] == expected.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_releases_are_at_their_new_york_hour_on_weekdays(name):
    years, hour = RELEASES[name]
    local = [datetime.fromtimestamp(int(at) / 1000, NEW_YORK) for at in release_times(name)]
    assert {(at.hour + at.minute / 60, at.second) for at in local} == {(hour, 0)}
    assert [at.strftime("%m-%d") for at in local if at.year == 2024] == years[2024].split()
    assert all(before < after for before, after in pairwise(local))
    assert all(at.weekday() < 5 for at in local)
    # Offices publish on Good Friday, and on no other day the exchange is closed.
    closed = [at for at in local if day_number(at.date()) in new_york_holidays(at.year)]
    assert all(at.weekday() == 4 and at.month in (3, 4) for at in closed)
    assert all(7 <= len(days.split()) <= 12 for days in years.values())


def test_release_dates_are_within_the_usual_days_of_month_and_week():
    """A date with a wrong digit would probably violate these.

    The offices were closed in October 2025.
    """
    ordinary = {
        name: [
            datetime.fromtimestamp(int(at) / 1000, NEW_YORK)
            for at in release_times(name)
            if not "2025-10" <= str(np.datetime64(int(at), "ms"))[:7] <= "2026-02"
        ]
        for name in NAMES
    }
    assert all(10 <= at.day <= 18 for at in ordinary["inflation"])
    assert all(at.day <= 11 and at.weekday() in (3, 4) for at in ordinary["jobs"])
    assert all(at.weekday() in (2, 3) for at in ordinary["rates"])


def test_no_release_is_counted_after_the_last_known_date():
    ended = next(name for name in NAMES if int(release_times(name)[-1]) == KNOWN_UNTIL)
    moment = str(np.datetime64(KNOWN_UNTIL, "ms"))
    assert row_closing_at(moment)[f"{ended}_ahead_6"] == 1.0
    for days in (1, 30, 365):
        after = str(np.datetime64(KNOWN_UNTIL, "ms") + np.timedelta64(days, "D") - np.timedelta64(1, "h"))
        assert row_closing_at(after)[f"{ended}_ahead_72"] == 0.0
    row = row_closing_at("2099-01-09T13:00")
    assert all(row[f"{name}_ahead_72"] == 0.0 for name in NAMES)


def row_closing_at(moment):
    closes = int(np.datetime64(moment, "ms").astype(np.int64))
    grid = walk(WARMUP, start_ms=closes - WARMUP * INTERVAL_MS)
    return dict(zip(FEATURE_NAMES, build_features(grid, 1)[0, 0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("moment", "ahead", "past"),
    [
        ("2024-06-12T06:30", (0, 0, 0, 0), (0, 0)),  # 72 candles end as it comes
        ("2024-06-12T06:35", (0, 0, 0, 1), (0, 0)),
        ("2024-06-12T12:00", (0, 1, 1, 1), (0, 0)),
        ("2024-06-12T12:30", (1, 1, 1, 1), (0, 0)),  # the next candle is the one it moves
        ("2024-06-12T12:35", (0, 0, 0, 0), (1, 1)),
        ("2024-06-12T13:30", (0, 0, 0, 0), (1, 1)),
        ("2024-06-12T13:35", (0, 0, 0, 0), (0, 1)),
    ],
)
def test_a_release_is_counted_ahead_and_afterwards(moment, ahead, past):
    row = row_closing_at(moment)
    assert tuple(row[f"inflation_ahead_{length}"] for length in (6, 18, 36, 72)) == ahead
    assert tuple(row[f"inflation_past_{length}"] for length in (12, 72)) == past
    # The same day's statement, 14:00 in New York.
    assert row["rates_ahead_72"] == float(moment > "2024-06-12T12:00")
    assert row["jobs_ahead_72"] == 0.0


def test_a_holiday_is_a_new_york_day():
    # Thanksgiving 2024 begins at 05:00 UTC.
    row = row_closing_at("2024-11-28T04:00")
    assert row["holiday_ahead_6"] == 0.0
    assert row["holiday_ahead_18"] == pytest.approx(6 / 18)
    assert row["holiday_ahead_72"] == pytest.approx(60 / 72)
    assert row["holiday_past_72"] == 0.0
    assert row_closing_at("2024-11-29T05:00")["holiday_past_72"] == 1.0


@pytest.mark.candles
@pytest.mark.parametrize("name", NAMES)
def test_real_candles_are_larger_at_releases(name, candles_folder):
    grid = CandleGrid.from_frame(pd.read_parquet(candles_folder / "BTCUSDT-5m.parquet"))
    spans = np.log(grid.high[0] / grid.low[0])
    known = release_times(name)
    known = known[(known >= grid.open_time[2016]) & (known < grid.open_time[-1])]
    positions = (known - grid.open_time[0]) // INTERVAL_MS
    assert len(positions) > 20
    usual = np.nanmedian([spans[positions - 288 * day] for day in range(1, 8)], axis=0)
    ratio = spans[positions] / usual
    assert np.median(ratio) > 2.0
    assert (ratio > 1.0).mean() > 0.85
