"""The feature families in column order, used by training, the live path and the proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from indicators.arrays import Floats
from indicators.features import calendar, momentum, seasonality, volatility, volume
from indicators.features.window import Window

Family = Callable[[Window], Iterator[tuple[str, Floats]]]
"""A function of a window of candles that yields (name, values of shape (T, m))."""

CANDLE_FAMILIES: tuple[Family, ...] = (volatility.features, momentum.features, volume.features, seasonality.features)
"""Our own families."""

CALENDAR = calendar.features
"""The function of time alone; its columns are the last ones."""

LONGEST_WITHOUT_DAY_AHEAD = max(seasonality.HORIZONS)
"""Longest horizon, in candles, for which features do not look a whole day ahead."""


def candle_features(window: Window, *, day_ahead: bool = False) -> Iterator[tuple[str, Floats]]:
    """Yield every feature but the calendar as (name, values of shape (T, m))."""
    for family in CANDLE_FAMILIES:
        yield from family(window)
    if day_ahead:
        yield from seasonality.day_ahead(window)
