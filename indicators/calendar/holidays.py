"""Holidays of the New York Stock Exchange, computed from its rules."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
from dateutil.easter import easter

from indicators.arrays import Integers
from indicators.calendar.days import MONDAY, SATURDAY, SUNDAY, THURSDAY, day_number, nth_weekday, weekday
from indicators.calendar.local_time import YEARS

JUNETEENTH_SINCE = 2022


def new_york_holidays(year: int) -> list[int]:
    """Day numbers since 1970 on which the New York Stock Exchange stays closed, ascending.

    A holiday on a Sunday is kept on the Monday after it, one on a Saturday on the Friday before it - but for New Year's
    Day, whose Friday lies in the old year and is traded. Days closed once, for a funeral or a storm, follow no rule.

    References
    ----------
    New York Stock Exchange, Rule 7.2, Holidays.

    Examples
    --------
    >>> [str(np.datetime64(day, "D")) for day in new_york_holidays(2022)[:4]]
    ['2022-01-17', '2022-02-21', '2022-04-15', '2022-05-30']
    """
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    if weekday(day_number(date(year, 1, 1))) != SATURDAY:
        fixed.append(date(year, 1, 1))
    return sorted(
        [
            nth_weekday(year, 1, MONDAY, 3),
            nth_weekday(year, 2, MONDAY, 3),
            day_number(easter(year)) - 2,
            nth_weekday(year, 5, MONDAY, -1),
            nth_weekday(year, 9, MONDAY, 1),
            nth_weekday(year, 11, THURSDAY, 4),
            *(_observed(day_number(day)) for day in fixed),
        ]
    )


def _observed(day: int) -> int:
    return day + {SATURDAY: -1, SUNDAY: 1}.get(weekday(day), 0)


@lru_cache(maxsize=1)
def all_holidays() -> Integers:
    """Holidays of every year whose daylight saving is known, day numbers since 1970, ascending."""
    return np.array([day for year in YEARS for day in new_york_holidays(year)], dtype=np.int64)
