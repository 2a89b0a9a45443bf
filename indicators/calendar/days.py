"""Day numbers since 1970-01-01, and the nth weekday of a month."""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from indicators.arrays import Integers

Days = TypeVar("Days", int, Integers)
"""One day number or many."""
_EPOCH = date(1970, 1, 1).toordinal()
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6


def day_number(day: date) -> int:
    """Days since 1970-01-01.

    Examples
    --------
    >>> day_number(date(1970, 1, 2)), day_number(date(2024, 2, 29))
    (1, 19782)
    """
    return day.toordinal() - _EPOCH


def weekday(day: Days) -> Days:
    """Day of the week of a day number, Monday is 0; 1970-01-01 was a Thursday.

    Examples
    --------
    >>> weekday(day_number(date(2024, 11, 5)))
    1
    """
    return (day + 3) % 7


def nth_weekday(year: int, month: int, wanted: int, nth: int) -> int:
    """Day number of the nth such weekday of a month; -1 is the last.

    Examples
    --------
    >>> nth_weekday(2024, 11, THURSDAY, 4) == day_number(date(2024, 11, 28))
    True
    >>> nth_weekday(2024, 3, SUNDAY, -1) == day_number(date(2024, 3, 31))
    True
    """
    first = day_number(date(year, month, 1))
    following = day_number(date(year + month // 12, month % 12 + 1, 1))
    found = [day for day in range(first, following) if weekday(day) == wanted]
    return found[nth if nth < 0 else nth - 1]
