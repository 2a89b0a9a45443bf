"""Local time of New York, London and Tokyo from UTC, and back.

Daylight saving is computed from the rules in force since 2007 (United States) and 1996 (Europe), not read from a time
zone database: its version would be an undeclared input of every model.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from indicators.arrays import Integers
from indicators.calendar.days import SUNDAY, nth_weekday
from indicators.candles import DAY_MS, HOUR_MS

YEARS = range(2007, 2101)


@lru_cache(maxsize=1)
def daylight_saving() -> tuple[Integers, Integers]:
    """Alternating starts and ends of summer time (ms) for New York and London."""
    new_york, london = [], []
    for year in YEARS:
        spring, autumn = nth_weekday(year, 3, SUNDAY, 2), nth_weekday(year, 11, SUNDAY, 1)
        new_york += [spring * DAY_MS + 7 * HOUR_MS, autumn * DAY_MS + 6 * HOUR_MS]
        spring, autumn = nth_weekday(year, 3, SUNDAY, -1), nth_weekday(year, 10, SUNDAY, -1)
        london += [spring * DAY_MS + HOUR_MS, autumn * DAY_MS + HOUR_MS]
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


def new_york_ms(days: Integers, hour: float) -> Integers:
    """UTC instants of a local New York `hour` on days numbered since 1970.

    Hours that summer time skips or repeats (1 to 3 in the night of a change) are not supported.

    Examples
    --------
    >>> days = np.array(["2024-07-01", "2024-12-02"], dtype="datetime64[D]").astype(np.int64)
    >>> (new_york_ms(days, 8.5) / HOUR_MS % 24).tolist()
    [12.5, 13.5]
    """
    winter = days * DAY_MS + int((hour + 5) * HOUR_MS)
    return np.where(local_ms(winter - HOUR_MS, "new_york") == winter - 5 * HOUR_MS, winter - HOUR_MS, winter)
