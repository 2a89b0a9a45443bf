"""Seasonal features: what the coming slots of the day were like on the days before.

The profile of a slot is the mean over the same time of day on the 14 previous days, so the profile of the candles
*ahead* is known already: it lies between 1 and 14 days back.
"""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.activity import log_surprise
from indicators.features.size import LOG_PARKINSON, Named
from indicators.features.window import DAY, SHORT, Window, log_range
from indicators.kernels import WindowSums, window_max

HORIZONS = (6, 18, 36, 72)
DAYS = 14
RECENT_DAYS = 5
WEEK = 7 * DAY
AHEAD = max(HORIZONS)


class Profile:
    """Sums over previous days of one series by slot, for the past 72 and the coming 72 slots of every row."""

    def __init__(self, window: Window, series: Floats) -> None:
        self._window = window
        self._rows = window.rows
        total, self.recent_slots = self._over_days(series)
        flags = None if window.complete else self._over_days(window.present_floats)
        self.slots = total
        self.counts = np.full(total.shape, float(DAYS)) if flags is None else flags[0]
        self.recent_counts = np.full(total.shape, float(RECENT_DAYS)) if flags is None else flags[1]

    def _over_days(self, series: Floats) -> tuple[Floats, Floats]:
        length = self._rows + SHORT - 1 + AHEAD
        newest = series.shape[1] + AHEAD
        accumulated = np.zeros((series.shape[0], length))
        recent = accumulated
        for day in range(1, DAYS + 1):
            stop = newest - DAY * day
            accumulated = accumulated + series[:, stop - length : stop]
            if day == RECENT_DAYS:
                recent = accumulated
        return accumulated, recent

    def ahead(self, sums: WindowSums, counts: WindowSums, horizon: int) -> Floats:
        """Mean over the next `horizon` slots."""
        return _share(sums, counts, horizon, AHEAD - horizon)

    def behind(self, sums: WindowSums, counts: WindowSums, length: int) -> Floats:
        """Mean over the last `length` slots."""
        return _share(sums, counts, length, AHEAD)


def _share(sums: WindowSums, counts: WindowSums, length: int, lag: int) -> Floats:
    return sums.total(length, lag) / np.maximum(counts.total(length, lag), 1.0)


def features(window: Window) -> Named:
    """Yield the seasonal family."""
    yield from _ranges(window)
    yield from _logs(window)
    yield from _week(window)
    yield from _volume(window)


def _ranges(window: Window) -> Named:
    profile = Profile(window, window.spans)
    sums, counts = WindowSums(profile.slots, window.rows), WindowSums(profile.counts, window.rows)
    usual = log_range(window.mean("span", window.spans, 4032))
    past = log_range(profile.behind(sums, counts, SHORT))
    for horizon in HORIZONS:
        ahead = log_range(profile.ahead(sums, counts, horizon))
        yield f"season_{horizon}", ahead - usual
        yield f"season_turn_{horizon}", ahead - past
    yield "season_past_12", log_range(profile.behind(sums, counts, 12)) - past
    mean_slots = profile.slots / np.maximum(profile.counts, 1.0)
    for horizon in (18, 72):
        peak = window_max(mean_slots, horizon, window.rows, lag=AHEAD - horizon)
        yield f"season_peak_{horizon}", log_range(peak) - usual


def _logs(window: Window) -> Named:
    """The same from means of logarithms, which one violent day cannot bend; and from the last five days alone."""
    profile = Profile(window, window.log_spans)
    sums, counts = WindowSums(profile.slots, window.rows), WindowSums(profile.counts, window.rows)
    recent = WindowSums(profile.recent_slots, window.rows), WindowSums(profile.recent_counts, window.rows)
    past, recent_past = profile.behind(sums, counts, SHORT), profile.behind(*recent, SHORT)
    for horizon in HORIZONS:
        yield f"season_log_{horizon}", profile.ahead(sums, counts, horizon) - past
        yield f"season_recent_{horizon}", profile.ahead(*recent, horizon) - recent_past
    # What remains of the last 12 candles once their time of day is taken out.
    last = window.mean("log_span", window.log_spans, 12) - window.log_level - LOG_PARKINSON
    yield "unseasonal_12", last - (profile.behind(sums, counts, 12) - past)


def _week(window: Window) -> Named:
    """The same hour one and two weeks ago, shrunk to the daily profile as if that were two more weeks."""
    profile = Profile(window, window.log_spans)
    length, newest = profile.slots.shape[1], window.log_spans.shape[1] + AHEAD
    daily = profile.slots / np.maximum(profile.counts, 1.0)
    slots = 2.0 * daily
    counts = np.full(slots.shape, 2.0)
    for week in (1, 2):
        stop = newest - WEEK * week
        slots = slots + window.log_spans[:, stop - length : stop]
        counts = counts + window.present_floats[:, stop - length : stop]
    gap = WindowSums(slots / counts - daily, window.rows)
    for horizon in HORIZONS:
        yield f"week_{horizon}", gap.total(horizon, AHEAD - horizon) / horizon


def _volume(window: Window) -> Named:
    profile = Profile(window, window.volumes)
    sums, counts = WindowSums(profile.slots, window.rows), WindowSums(profile.counts, window.rows)
    for length in (6, 36):
        usual = profile.behind(sums, counts, length)
        yield f"volume_surprise_{length}", log_surprise(window.mean("volume", window.volumes, length), usual)
