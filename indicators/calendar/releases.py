"""Release times of economic figures that move all markets, from schedules published in advance.

Only the time of a release is used, never its content. After the last announced date no releases are counted;
:data:`KNOWN_UNTIL` is that date. The lists are extended once a year from the pages below; past dates are never
changed, because rows computed with them must stay the same.

References
----------
Federal Reserve, Meeting calendars and statements: https://www.federalreserve.gov/monetarypolicy/fomccalendars.htm
Bureau of Labor Statistics, release schedules: https://www.bls.gov/schedule/news_release/cpi.htm and empsit.htm
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from indicators.arrays import Integers
from indicators.calendar.days import day_number
from indicators.calendar.local_time import new_york_ms

# Month and day of each release by year, by the calendar of New York.
INFLATION = {
    2017: "01-18 02-15 03-15 04-14 05-12 06-14 07-14 08-11 09-14 10-13 11-15 12-13",
    2018: "01-12 02-14 03-13 04-11 05-10 06-12 07-12 08-10 09-13 10-11 11-14 12-12",
    2019: "01-11 02-13 03-12 04-10 05-10 06-12 07-11 08-13 09-12 10-10 11-13 12-11",
    2020: "01-14 02-13 03-11 04-10 05-12 06-10 07-14 08-12 09-11 10-13 11-12 12-10",
    2021: "01-13 02-10 03-10 04-13 05-12 06-10 07-13 08-11 09-14 10-13 11-10 12-10",
    2022: "01-12 02-10 03-10 04-12 05-11 06-10 07-13 08-10 09-13 10-13 11-10 12-13",
    2023: "01-12 02-14 03-14 04-12 05-10 06-13 07-12 08-10 09-13 10-12 11-14 12-12",
    2024: "01-11 02-13 03-12 04-10 05-15 06-12 07-11 08-14 09-11 10-10 11-13 12-11",
    2025: "01-15 02-12 03-12 04-10 05-13 06-11 07-15 08-12 09-11 10-24 12-18",
    2026: "01-13 02-13 03-11 04-10 05-12 06-10 07-14 08-12 09-11 10-14 11-10 12-10",
}
"""Consumer price index of the United States, 8:30."""

JOBS = {
    2017: "01-06 02-03 03-10 04-07 05-05 06-02 07-07 08-04 09-01 10-06 11-03 12-08",
    2018: "01-05 02-02 03-09 04-06 05-04 06-01 07-06 08-03 09-07 10-05 11-02 12-07",
    2019: "01-04 02-01 03-08 04-05 05-03 06-07 07-05 08-02 09-06 10-04 11-01 12-06",
    2020: "01-10 02-07 03-06 04-03 05-08 06-05 07-02 08-07 09-04 10-02 11-06 12-04",
    2021: "01-08 02-05 03-05 04-02 05-07 06-04 07-02 08-06 09-03 10-08 11-05 12-03",
    2022: "01-07 02-04 03-04 04-01 05-06 06-03 07-08 08-05 09-02 10-07 11-04 12-02",
    2023: "01-06 02-03 03-10 04-07 05-05 06-02 07-07 08-04 09-01 10-06 11-03 12-08",
    2024: "01-05 02-02 03-08 04-05 05-03 06-07 07-05 08-02 09-06 10-04 11-01 12-06",
    2025: "01-10 02-07 03-07 04-04 05-02 06-06 07-03 08-01 09-05 11-20 12-16",
    2026: "01-09 02-11 03-06 04-03 05-08 06-05 07-02 08-07 09-04 10-02 11-06 12-04",
}
"""Employment situation of the United States, 8:30."""

RATES = {
    2017: "02-01 03-15 05-03 06-14 07-26 09-20 11-01 12-13",
    2018: "01-31 03-21 05-02 06-13 08-01 09-26 11-08 12-19",
    2019: "01-30 03-20 05-01 06-19 07-31 09-18 10-30 12-11",
    2020: "01-29 04-29 06-10 07-29 09-16 11-05 12-16",
    2021: "01-27 03-17 04-28 06-16 07-28 09-22 11-03 12-15",
    2022: "01-26 03-16 05-04 06-15 07-27 09-21 11-02 12-14",
    2023: "02-01 03-22 05-03 06-14 07-26 09-20 11-01 12-13",
    2024: "01-31 03-20 05-01 06-12 07-31 09-18 11-07 12-18",
    2025: "01-29 03-19 05-07 06-18 07-30 09-17 10-29 12-10",
    2026: "01-28 03-18 04-29 06-17 07-29 09-16 10-28 12-09",
    2027: "01-27 03-17 04-28 06-09 07-28 09-15 10-27 12-08",
}
"""Statements of the Federal Open Market Committee, 14:00; those of March 2020 came unannounced."""

RELEASES = {"inflation": (INFLATION, 8.5), "jobs": (JOBS, 8.5), "rates": (RATES, 14.0)}
"""Days and local New York hour of each kind of release."""


@lru_cache(maxsize=len(RELEASES))
def release_times(name: str) -> Integers:
    """Instants (ms) of one kind of release, ascending.

    Examples
    --------
    >>> str(np.datetime64(int(release_times("jobs")[0]), "ms"))
    '2017-01-06T13:30:00.000'
    """
    years, hour = RELEASES[name]
    days = [day_number(date.fromisoformat(f"{year}-{day}")) for year in sorted(years) for day in years[year].split()]
    return new_york_ms(np.array(days, dtype=np.int64), hour)


KNOWN_UNTIL: int = min(int(release_times(name)[-1]) for name in RELEASES)
"""After this instant (ms) the schedule of at least one kind of release is unknown."""
