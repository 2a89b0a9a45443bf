"""Seasonal features: what the coming slots of the day were like on the days before.

The profile of a slot is the mean over the same time of day on the 14 previous days, so the profile of the candles
*ahead* is known already: it lies between 1 and 14 days back.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.activity import log_surprise
from indicators.features.size import Named
from indicators.features.window import DAY, SHORT, Window, log_range
from indicators.kernels import WindowSums, window_max

HORIZONS = (6, 18, 36, 72)
AHEAD = max(HORIZONS)
DAYS = 14
WEEK = 7 * DAY


class Profile:
    """One series by slot of the day, for the past 72 and the coming 72 slots of every row."""

    def __init__(self, window: Window, series: Floats) -> None:
        self._length = window.rows + SHORT - 1 + AHEAD
        sums = self._over_days(series)
        counts = np.full(sums.shape, float(DAYS)) if window.complete else self._over_days(window.present_floats)
        self.slot_means = sums / np.maximum(counts, 1.0)
        self._sums, self._counts = WindowSums(sums, window.rows), WindowSums(counts, window.rows)

    def _over_days(self, series: Floats) -> Floats:
        accumulated = slots_before(series, DAY, self._length)
        for day in range(2, DAYS + 1):
            accumulated = accumulated + slots_before(series, DAY * day, self._length)
        return accumulated

    def ahead(self, horizon: int) -> Floats:
        """Mean over the next `horizon` slots, shape (m, rows)."""
        return self._mean(horizon, AHEAD - horizon)

    def behind(self, length: int) -> Floats:
        """Mean over the last `length` slots, shape (m, rows)."""
        return self._mean(length, AHEAD)

    def _mean(self, length: int, lag: int) -> Floats:
        return self._sums.total(length, lag) / np.maximum(self._counts.total(length, lag), 1.0)


def slots_before(series: Floats, candles: int, length: int) -> Floats:
    """Values `candles` earlier than the `length` slots that end `AHEAD` after the newest candle."""
    stop = series.shape[1] + AHEAD - candles
    return series[:, stop - length : stop]


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
    peak = window_max(profile.slot_means, AHEAD, window.rows)
    yield f"season_peak_{AHEAD}", log_range(peak) - usual


def _logs(window: Window) -> Named:
    """From means of logarithms, which one violent day cannot bend: the slots ahead against those just past.

    Then the week: how the same slots one and two weeks ago differ from the daily profile, shrunk towards it as if it
    had been seen for two more weeks.
    """
    profile = Profile(window, window.log_spans)
    past = profile.behind(SHORT)
    for horizon in HORIZONS:
        yield f"season_log_{horizon}", profile.ahead(horizon) - past

    daily = profile.slot_means
    slots, counts = 2.0 * daily, np.full(daily.shape, 2.0)
    for week in (1, 2):
        slots = slots + slots_before(window.log_spans, WEEK * week, daily.shape[1])
        counts = counts + slots_before(window.present_floats, WEEK * week, daily.shape[1])
    gap = WindowSums(slots / counts - daily, window.rows)
    for horizon in HORIZONS:
        yield f"week_{horizon}", gap.total(horizon, AHEAD - horizon) / horizon
    yield f"week_past_{SHORT}", gap.total(SHORT, AHEAD) / SHORT
