"""Indicator values of stored candles for the API."""

from typing import Any

import numpy as np

from indicators.candles import CandleGrid
from indicators.catalog import lookup
from marketdata import clock
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
    return [
        {
            "candle_time": clock.to_datetime(int(shown.open_time[at])),
            "values": {name: _finite(values[at]) for name, values in columns.items()},
        }
        for at in range(len(shown))
        if shown.present[0, at]
    ]


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
