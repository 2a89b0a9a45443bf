"""The families of features, in column order: the one list that training, live path and proofs read."""

from __future__ import annotations

from indicators.features import activity, calendar, direction, season, size

CANDLE_FAMILIES = (size.features, direction.features, activity.features, season.features)
"""Functions of the candles of a window."""

CALENDAR = calendar.features
"""The function of the clock alone; its columns are the last ones."""

FAMILIES = (*CANDLE_FAMILIES, CALENDAR)
