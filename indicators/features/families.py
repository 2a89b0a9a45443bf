"""The feature families in column order, used by training, the live path and the proofs."""

from __future__ import annotations

from indicators.features import activity, calendar, direction, season, size

CANDLE_FAMILIES = (size.features, direction.features, activity.features, season.features)
"""Functions of the candles of a window."""

CALENDAR = calendar.features
"""The function of time alone; its columns are the last ones."""

FAMILIES = (*CANDLE_FAMILIES, CALENDAR)
