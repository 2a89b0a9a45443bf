"""Calendar features: what the clock says at the close of the row's candle, UTC and in the cities that trade.

Daylight saving is computed from the rules in force since 2007 (United States) and 1996 (Europe), not read from a time
zone database: its version would be a silent input of every model.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.features.size import Named
from indicators.features.window import DAY, Window
from indicators.kernels import WindowSums

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
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


SESSIONS = {
    "new_york": ("new_york", 9.5, 16.0),
    "new_york_morning": ("new_york", 8.5, 11.0),
    "london": ("london", 8.0, 16.5),
    "tokyo": ("tokyo", 9.0, 15.0),
}
"""Working hours by the local clock, Monday to Friday; holidays are not known."""

AHEAD_WINDOWS = (6, 18, 36, 72)
PAST_WINDOW = 72


def features(window: Window) -> Named:
    """Yield the calendar family; the same for every market."""
    markets = window.present.shape[0]
    for family in (_now, _shares):
        for name, values in family(window):
            yield name, np.broadcast_to(values, (markets, window.rows))


def _now(window: Window) -> Named:
    """Where the clock stands when the row's candle closes."""
    now = window.open_time + window.interval_ms
    day = (now % DAY_MS) / DAY_MS
    for harmonic in (1, 2, 3):
        angle = day * (2.0 * np.pi * harmonic)
        yield f"day_sin_{harmonic}", np.sin(angle)
        yield f"day_cos_{harmonic}", np.cos(angle)
    # 1970-01-01 was a Thursday; the week begins on Monday.
    angle = ((now + 3 * DAY_MS) % WEEK_MS) / WEEK_MS * (2.0 * np.pi)
    yield "week_sin", np.sin(angle)
    yield "week_cos", np.cos(angle)
    yield "to_next_hour", ((-now) % HOUR_MS) / HOUR_MS
    yield "new_york_clock", (local_ms(now, "new_york") % DAY_MS) / DAY_MS


def _shares(window: Window) -> Named:
    """What share of the candles ahead, and of the last 72, lies in each session and in the weekend (UTC)."""
    slots = np.arange(window.rows + AHEAD_WINDOWS[-1] + DAY - 1, dtype=np.int64) - (DAY - 1)
    times = window.open_time[0] + slots * window.interval_ms
    held = {name: _session(local_ms(times, city), opens, closes) for name, (city, opens, closes) in SESSIONS.items()}
    held["weekend"] = ((times // DAY_MS + 3) % 7 >= 5).astype(np.float64)
    for name, inside in held.items():
        sums = WindowSums(inside[None, :], window.rows)
        for length in AHEAD_WINDOWS:
            yield f"{name}_ahead_{length}", sums.total(length, AHEAD_WINDOWS[-1] - length) / length
        yield f"{name}_past_{PAST_WINDOW}", sums.total(PAST_WINDOW, AHEAD_WINDOWS[-1]) / PAST_WINDOW
        if name == "weekend":
            yield f"{name}_past_{DAY}", sums.total(DAY, AHEAD_WINDOWS[-1]) / DAY


def _session(local: Integers, opens: float, closes: float) -> Floats:
    """1 for candles that open inside the hours of a working day."""
    hour, weekday = (local % DAY_MS) / HOUR_MS, (local // DAY_MS + 3) % 7
    return ((hour >= opens) & (hour < closes) & (weekday < 5)).astype(np.float64)
