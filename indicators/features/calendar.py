"""Calendar features: time of day and week, sessions, holidays and releases at the candle's close."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.calendar.days import SATURDAY, weekday
from indicators.calendar.holidays import all_holidays
from indicators.calendar.local_time import local_ms
from indicators.calendar.releases import RELEASES, release_times
from indicators.candles import DAY_MS, HOUR_MS, WEEK_MS
from indicators.features.volatility import Named
from indicators.features.window import DAY
from indicators.kernels import WindowSums

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


def features(open_time: Integers, interval_ms: int, *, day_ahead: bool = False) -> Named:
    """Yield the calendar family, the same for every market: columns of shape (T,).

    Parameters
    ----------
    open_time : int64 array of shape (T,)
        Opens in ms of candles that follow each other.
    interval_ms : int
        Length of a candle.
    day_ahead : bool, default False
        Whether to look a whole day ahead too, for horizons above 72.
    """
    yield from _now(open_time + interval_ms)
    ahead = (*AHEAD_WINDOWS, DAY) if day_ahead else AHEAD_WINDOWS
    # Open times of the candles a day before the first row to the longest window after the last.
    slots = np.arange(len(open_time) + ahead[-1] + DAY - 1, dtype=np.int64) - (DAY - 1)
    times = open_time[0] + slots * interval_ms
    yield from _shares(times, len(open_time), ahead)
    yield from _releases(times, len(open_time), interval_ms, ahead)


def _now(now: Integers) -> Named:
    """Yield time of day and week at the close of the row's candle."""
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


def _shares(times: Integers, rows: int, ahead: tuple[int, ...]) -> Named:
    """What share of the candles ahead, and of the last 72, lies in each session, the weekend (UTC) and a holiday."""
    held = {name: _session(local_ms(times, city), opens, closes) for name, (city, opens, closes) in SESSIONS.items()}
    held["weekend"] = (weekday(times // DAY_MS) >= SATURDAY).astype(np.float64)
    held["holiday"] = np.isin(local_ms(times, "new_york") // DAY_MS, all_holidays()).astype(np.float64)
    for name, inside in held.items():
        total = _totals(inside, rows)
        for length in ahead:
            yield f"{name}_ahead_{length}", total(length, ahead[-1] - length) / length
        yield f"{name}_past_{PAST_WINDOW}", total(PAST_WINDOW, ahead[-1]) / PAST_WINDOW
        if name == "weekend":
            yield f"{name}_past_{DAY}", total(DAY, ahead[-1]) / DAY


def _releases(times: Integers, rows: int, interval_ms: int, ahead: tuple[int, ...]) -> Named:
    """Yield the number of releases of each kind within the coming and the past candles."""
    for name in RELEASES:
        # A release at the open of a candle moves that candle.
        before = np.searchsorted(release_times(name), np.append(times, times[-1] + interval_ms))
        total = _totals(np.diff(before).astype(np.float64), rows)
        for length in ahead:
            yield f"{name}_ahead_{length}", total(length, ahead[-1] - length)
        for length in (JUST_PAST_WINDOW, PAST_WINDOW):
            yield f"{name}_past_{length}", total(length, ahead[-1])


def _totals(values: Floats, rows: int) -> Callable[[int, int], Floats]:
    """Sums over the `window` values that end `lag` before each of the newest `rows`, by window and lag."""
    sums = WindowSums(values[None, :], rows)
    return lambda window, lag: sums.total(window, lag)[0]


def _session(local: Integers, opens: float, closes: float) -> Floats:
    """Return 1 for candles that open during the session of a weekday, else 0."""
    hour = (local % DAY_MS) / HOUR_MS
    return ((hour >= opens) & (hour < closes) & (weekday(local // DAY_MS) < SATURDAY)).astype(np.float64)
