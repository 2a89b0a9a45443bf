"""Calendar features: what the clock says at the close of the row's candle, UTC and in the cities that trade.

Daylight saving is computed from the rules in force since 2007 (United States) and 1996 (Europe), not read from a time
zone database: its version would be a silent input of every model.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.features.size import Named
from indicators.features.window import Window

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
YEARS = range(2007, 2101)


def _nth_sunday(year: int, month: int, nth: int) -> int:
    """Day number since 1970 of the nth Sunday of a month; -1 is the last."""
    first = int(np.datetime64(f"{year}-{month:02d}-01", "D").astype(np.int64))
    following = int(np.datetime64(f"{year + month // 12}-{month % 12 + 1:02d}-01", "D").astype(np.int64))
    sundays = [day for day in range(first, following) if (day + 4) % 7 == 0]
    return sundays[nth if nth < 0 else nth - 1]


@lru_cache(maxsize=1)
def daylight_saving() -> tuple[Integers, Integers]:
    """Instants (ms) at which summer time begins and ends by turns, for New York and for London."""
    new_york, london = [], []
    for year in YEARS:
        new_york += [_nth_sunday(year, 3, 2) * DAY_MS + 7 * HOUR_MS, _nth_sunday(year, 11, 1) * DAY_MS + 6 * HOUR_MS]
        london += [_nth_sunday(year, 3, -1) * DAY_MS + HOUR_MS, _nth_sunday(year, 10, -1) * DAY_MS + HOUR_MS]
    return np.array(new_york, dtype=np.int64), np.array(london, dtype=np.int64)


def local_ms(times: Integers, city: str) -> Integers:
    """Local wall-clock time, in milliseconds as if it were UTC, of UTC instants.

    Examples
    --------
    >>> noon = np.array(["2024-07-01T12:00"], dtype="datetime64[ms]").astype(np.int64)
    >>> [int(local_ms(noon, city)[0] // HOUR_MS % 24) for city in ("new_york", "london", "tokyo")]
    [8, 13, 21]
    """
    if city == "tokyo":
        return times + 9 * HOUR_MS
    changes = daylight_saving()[0 if city == "new_york" else 1]
    summer = np.searchsorted(changes, times, side="right") % 2 == 1
    return times + np.where(summer, HOUR_MS, 0) - (5 * HOUR_MS if city == "new_york" else 0)


def features(window: Window) -> Named:
    """Yield the calendar family; the same for every market."""
    now = window.open_time + window.interval_ms
    markets = window.present.shape[0]
    for name, values in _at(now):
        yield name, np.broadcast_to(values, (markets, len(now)))


def _at(now: Integers) -> Named:
    day = np.ascontiguousarray((now % DAY_MS) / DAY_MS)
    for harmonic in (1, 2, 3):
        angle = day * (2.0 * np.pi * harmonic)
        yield f"day_sin_{harmonic}", np.sin(angle)
        yield f"day_cos_{harmonic}", np.cos(angle)
    # 1970-01-01 was a Thursday; the week begins on Monday.
    week = ((now + 3 * DAY_MS) % (7 * DAY_MS)) / (7 * DAY_MS)
    angle = week * (2.0 * np.pi)
    yield "week_sin", np.sin(angle)
    yield "week_cos", np.cos(angle)
    yield "weekend", (week >= 5.0 / 7.0).astype(np.float64)
    yield "to_next_hour", ((-now) % HOUR_MS) / HOUR_MS
    new_york, london = local_ms(now, "new_york"), local_ms(now, "london")
    yield "new_york_clock", _clock(new_york)
    yield "new_york_open_ahead", _hours_until(new_york, 9.5)
    yield "new_york_session", _session(new_york, 9.5, 16.0)
    yield "london_session", _session(london, 8.0, 16.5)
    yield "tokyo_session", _session(local_ms(now, "tokyo"), 9.0, 15.0)


def _clock(local: Integers) -> Floats:
    return (local % DAY_MS) / DAY_MS


def _hours_until(local: Integers, hour: float) -> Floats:
    """Share of a day until the next `hour` on the local clock."""
    return ((int(hour * HOUR_MS) - local) % DAY_MS) / DAY_MS


def _session(local: Integers, opens: float, closes: float) -> Floats:
    """1 inside the hours of a working day, holidays not known."""
    hour, weekday = (local % DAY_MS) / HOUR_MS, (local // DAY_MS + 3) % 7
    return ((hour >= opens) & (hour < closes) & (weekday < 5)).astype(np.float64)
