"""Seasonal features: averages of the same time of day over previous days.

The profile of a slot is the mean over the same time of day on the 14 previous days, so the profile of the candles
*ahead* is known already: it lies between 1 and 14 days back.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.volatility import Named
from indicators.features.volume import log_surprise
from indicators.features.window import AHEAD, DAY, SHORT, Window, log_range

HORIZONS = (6, 18, 36, 72)
DAYS = 14
WEEK = 7 * DAY


class Profile:
    """The mean of one series over the past days at each slot of the day, known up to `AHEAD` slots after a row.

    Parameters
    ----------
    window : Window
    series : float64 array of shape (T, m)

    Attributes
    ----------
    slot_means : float64 array of shape (T, m)
        Mean of the slot that lies `AHEAD` candles after each row.
    """

    def __init__(self, window: Window, series: Floats) -> None:
        self._window = window
        self._sums = self._over_days(series)
        self._counts = window.series("days_present", lambda: self._over_days(window.present))
        self.slot_means = self._sums / np.maximum(self._counts, 1.0)

    def _over_days(self, series: Floats) -> Floats:
        total = slots_before(self._window, series, DAY)
        for day in range(2, DAYS + 1):
            total = total + slots_before(self._window, series, DAY * day)
        return total

    def ahead(self, horizon: int) -> Floats:
        """Mean over the next `horizon` slots."""
        return self._mean(horizon, AHEAD - horizon)

    def behind(self, length: int) -> Floats:
        """Mean over the last `length` slots."""
        return self._mean(length, AHEAD)

    def _mean(self, length: int, lag: int) -> Floats:
        counts = np.maximum(self._window.total(self._counts, length, lag), 1.0)
        return self._window.total(self._sums, length, lag) / counts


def slots_before(window: Window, series: Floats, candles: int) -> Floats:
    """Values `candles` earlier than the slot that lies `AHEAD` candles after each row."""
    return window.before(series, candles - AHEAD)


def features(window: Window) -> Named:
    """Yield the seasonal family."""
    yield from _ranges(window)
    yield from _logs(window)
    volumes = Profile(window, window.volumes)
    for length in (6, 36):
        recent = window.mean(window.volumes, length)
        yield f"volume_surprise_{length}", log_surprise(recent, volumes.behind(length))


def day_ahead(window: Window) -> Named:
    """Yield the daily and the weekly profile of the coming day, for horizons above 72.

    Over a whole day the daily profile is the mean of the 14 days. The coming day one and two weeks ago is known, as the
    slots of the weekly profile are.
    """
    usual = window.mean(window.log_spans, DAYS * DAY)
    yield f"season_log_{DAY}", usual - window.mean(window.log_spans, SHORT)
    slots, counts = 2.0 * DAY * usual, np.full(usual.shape, 2.0 * DAY)
    for week in (1, 2):
        slots = slots + window.total(window.log_spans, DAY, WEEK * week - DAY)
        counts = counts + window.total(window.present, DAY, WEEK * week - DAY)
    yield f"week_{DAY}", slots / counts - usual


def _ranges(window: Window) -> Named:
    profile = Profile(window, window.spans)
    usual = log_range(window.mean(window.spans, DAYS * DAY))
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
    slots, counts = 2.0 * daily, np.full(daily.shape, 2.0)
    for week in (1, 2):
        slots = slots + slots_before(window, window.log_spans, WEEK * week)
        counts = counts + slots_before(window, window.present, WEEK * week)
    gap = slots / counts - daily
    for horizon in HORIZONS:
        yield f"week_{horizon}", window.total(gap, horizon, AHEAD - horizon) / horizon
    yield f"week_past_{SHORT}", window.total(gap, SHORT, AHEAD) / SHORT
