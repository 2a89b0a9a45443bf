"""Calendar features: time of day and week, sessions, holidays and releases at the candle's close."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.candles import DAY_MS, HOUR_MS
from indicators.features.daylight import local_ms
from indicators.features.days import SATURDAY, weekday
from indicators.features.holidays import all_holidays
from indicators.features.releases import RELEASES, release_times
from indicators.features.size import Named
from indicators.features.window import DAY, Window
from indicators.kernels import WindowSums

WEEK_MS = 7 * DAY_MS

SESSIONS = {
    "new_york": ("new_york", 9.5, 16.0),
    "new_york_morning": ("new_york", 8.5, 11.0),
    "london": ("london", 8.0, 16.5),
    "tokyo": ("tokyo", 9.0, 15.0),
}
"""City, opening and closing hour by the local clock, Monday to Friday, on holidays too."""

AHEAD_WINDOWS = (6, 18, 36, 72)
PAST_WINDOW = 72
JUST_PAST_WINDOW = 12


def features(window: Window) -> Named:
    """Yield the calendar family; the same for every market."""
    markets = window.present.shape[0]
    for family in (_now, _shares, _releases):
        for name, values in family(window):
            yield name, np.broadcast_to(values, (markets, window.rows))


def _now(window: Window) -> Named:
    """Yield time of day and week at the close of the row's candle."""
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
    """Yield the share of coming and past candles in each session, weekend (UTC) and holiday."""
    times = _slots(window)
    sessions = {
        name: _session(local_ms(times, city), opens, closes) for name, (city, opens, closes) in SESSIONS.items()
    }
    sessions["weekend"] = (weekday(times // DAY_MS) >= SATURDAY).astype(np.float64)
    sessions["holiday"] = np.isin(local_ms(times, "new_york") // DAY_MS, all_holidays()).astype(np.float64)
    for name, inside in sessions.items():
        sums = WindowSums(inside[None, :], window.rows)
        for length in AHEAD_WINDOWS:
            yield f"{name}_ahead_{length}", sums.total(length, AHEAD_WINDOWS[-1] - length) / length
        yield f"{name}_past_{PAST_WINDOW}", sums.total(PAST_WINDOW, AHEAD_WINDOWS[-1]) / PAST_WINDOW
        if name == "weekend":
            yield f"{name}_past_{DAY}", sums.total(DAY, AHEAD_WINDOWS[-1]) / DAY


def _releases(window: Window) -> Named:
    """Yield the number of releases of each kind within the coming and the past candles."""
    times = _slots(window)
    for name in RELEASES:
        # A release at the open of a candle moves that candle.
        before = np.searchsorted(release_times(name), np.append(times, times[-1] + window.interval_ms))
        sums = WindowSums(np.diff(before)[None, :].astype(np.float64), window.rows)
        for length in AHEAD_WINDOWS:
            yield f"{name}_ahead_{length}", sums.total(length, AHEAD_WINDOWS[-1] - length)
        for length in (JUST_PAST_WINDOW, PAST_WINDOW):
            yield f"{name}_past_{length}", sums.total(length, AHEAD_WINDOWS[-1])


def _slots(window: Window) -> Integers:
    """Open times from a day before the first row to 72 candles after the last."""
    slots = np.arange(window.rows + AHEAD_WINDOWS[-1] + DAY - 1, dtype=np.int64) - (DAY - 1)
    return window.open_time[0] + slots * window.interval_ms


def _session(local: Integers, opens: float, closes: float) -> Floats:
    """Return 1 for candles that open during the session of a weekday, else 0."""
    hour = (local % DAY_MS) / HOUR_MS
    return ((hour >= opens) & (hour < closes) & (weekday(local // DAY_MS) < SATURDAY)).astype(np.float64)
