"""Indicator values of stored candles for the API."""

from typing import Any

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.catalog import lookup
from marketdata.api.payloads import iso_texts
from marketdata.intervals import interval_ms
from marketdata.models import Market
from marketdata.storage import aggregation, candles


def indicator_values(market: Market, names: list[str] | None, limit: int, interval: str) -> list[dict[str, Any]]:
    """Values of the named indicators at the newest `limit` candles of an interval, newest last.

    Raises
    ------
    UnknownIndicator
        If a name is not in the catalogue.
    """
    wanted, length_ms = lookup.resolve(names or lookup.CATALOG), interval_ms(interval)
    rows = limit + lookup.warm_up(wanted, length_ms)
    grid = _stored(market, rows) if interval == market.interval else aggregation.load_grid(market, length_ms, rows)
    if grid is None:
        return []
    columns = lookup.compute_indicators(grid, wanted, rows=limit)
    shown = grid.tail(limit)
    present = shown.present[0]
    times = iso_texts(shown.open_time[present])
    lines = zip(*(finite_values(values[present]) for values in columns.values()), strict=True)
    return [
        {"candle_time": time, "values": dict(zip(columns, line, strict=True))}
        for time, line in zip(times, lines, strict=True)
    ]


def finite_values(column: npt.NDArray[np.float64]) -> list[float | None]:
    """Values of a column; None where they are not finite.

    >>> finite_values(np.array([0.5, np.nan]))
    [0.5, None]
    """
    found = column.astype(object)
    found[~np.isfinite(column)] = None
    return list(found)


def _stored(market: Market, rows: int) -> CandleGrid | None:
    newest = candles.newest_open([market])[market.pk]
    return None if newest is None else candles.load_grid([market], newest, rows)


def spec_object(spec: lookup.IndicatorSpec) -> dict[str, Any]:
    """One entry of the catalogue."""
    return {
        "name": spec.name,
        "family": spec.family,
        "parameters": dict(spec.parameters),
        "units": spec.units,
        "warm_up": spec.warm_up,
        "range": None if spec.value_range is None else [_finite(end) for end in spec.value_range],
        "description": spec.description,
        "outputs": list(spec.outputs),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
