"""Seasonal features: averages of the same time of day over previous days.

The profile of a slot is the mean over the same time of day on the 14 previous days, so the profile of the candles
*ahead* is known already: it lies between 1 and 14 days back.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.activity import log_surprise
from indicators.features.size import Named
from indicators.features.window import AHEAD, DAY, SHORT, Window, log_range

HORIZONS = (6, 18, 36, 72)
DAYS = 14
WEEK = 7 * DAY


class Profile:
    """Time-of-day means of one series for the past and coming 72 slots of each row."""

    def __init__(self, window: Window, series: Floats) -> None:
        self.length = window.rows + SHORT - 1 + AHEAD
        self._window = window
        sums = self._over_days(series)
        counts = window.filled(sums, float(DAYS)) if window.complete else self._over_days(window.present_floats)
        self.slot_means = sums / np.maximum(counts, 1.0)
        self._sums, self._counts = window.sums(sums), window.sums(counts)

    def _over_days(self, series: Floats) -> Floats:
        accumulated = self._window.slots_before(series, DAY, self.length)
        for day in range(2, DAYS + 1):
            accumulated = accumulated + self._window.slots_before(series, DAY * day, self.length)
        return accumulated

    def ahead(self, horizon: int) -> Floats:
        """Mean over the next `horizon` slots, shape (m, rows)."""
        return self._mean(horizon, AHEAD - horizon)

    def behind(self, length: int) -> Floats:
        """Mean over the last `length` slots, shape (m, rows)."""
        return self._mean(length, AHEAD)

    def _mean(self, length: int, lag: int) -> Floats:
        return self._sums.total(length, lag) / np.maximum(self._counts.total(length, lag), 1.0)


def features(window: Window) -> Named:
    """Yield the seasonal family."""
    yield from _ranges(window)
    yield from _logs(window)
    volumes = Profile(window, window.volumes)
    for length in (6, 36):
        recent = window.mean("volume", window.volumes, length)
        yield f"volume_surprise_{length}", log_surprise(recent, volumes.behind(length))


def _ranges(window: Window) -> Named:
    profile = Profile(window, window.spans)
    usual = log_range(window.mean("span", window.spans, DAYS * DAY))
    for horizon in HORIZONS:
        yield f"season_{horizon}", log_range(profile.ahead(horizon)) - usual
    peak = window.largest(profile.slot_means, AHEAD)
    yield f"season_peak_{AHEAD}", log_range(peak) - usual


def _logs(window: Window) -> Named:
    """Yield daily and weekly profiles of log ranges for the coming and past slots.

    Means of logarithms are robust against one extreme day. The weekly profile is the difference of the same slots one
    and two weeks ago from the daily profile, shrunk towards it with the weight of two more weeks.
    """
    profile = Profile(window, window.log_spans)
    past = profile.behind(SHORT)
    for horizon in HORIZONS:
        yield f"season_log_{horizon}", profile.ahead(horizon) - past

    daily = profile.slot_means
    slots, counts = 2.0 * daily, window.filled(daily, 2.0)
    for week in (1, 2):
        slots = slots + window.slots_before(window.log_spans, WEEK * week, profile.length)
        counts = counts + window.slots_before(window.present_floats, WEEK * week, profile.length)
    gap = window.sums(slots / counts - daily)
    for horizon in HORIZONS:
        yield f"week_{horizon}", gap.total(horizon, AHEAD - horizon) / horizon
    yield f"week_past_{SHORT}", gap.total(SHORT, AHEAD) / SHORT
