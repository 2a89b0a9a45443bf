"""Indicator values of stored candles for the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from indicators.candles import CandleGrid
from indicators.catalog import lookup
from marketdata.api.payloads import iso_texts
from marketdata.intervals import interval_ms
from marketdata.models import Market
from marketdata.storage import aggregation, candles, tails


def indicator_values(market: Market, names: list[str] | None, limit: int, interval: str) -> orjson.Fragment:
    """JSON list of the named indicators' values at the newest `limit` candles of an interval, newest last.

    Raises
    ------
    UnknownIndicator
        If a name is not in the catalogue.
    """
    wanted, length_ms = lookup.resolve(names or lookup.CATALOG), interval_ms(interval)
    rows = limit + lookup.warm_up(wanted, length_ms)
    if interval != market.interval:
        grid = aggregation.load_grid(market, length_ms, rows)
        return orjson.Fragment(b"[]" if grid is None else values_json(grid, wanted, limit))
    newest = candles.newest_open([market])[market.pk]
    if newest is None:
        return orjson.Fragment(b"[]")
    asked = Asked(market.pk, tuple(wanted), limit, rows, newest)
    if not tails.is_available():
        return orjson.Fragment(asked.values_json())
    # Marks are read before the candles, so that values are never older than their marks.
    return orjson.Fragment(
        _values_by_marks(asked, tails.read_marks(market.pk, newest - (rows - 1) * length_ms, newest))
    )


@dataclass(frozen=True)
class Asked:
    """Indicators at the newest stored candles of a market; equal ones have equal values while no candle changes."""

    market_id: int
    names: tuple[str, ...]
    limit: int
    rows: int
    newest_open: int

    def values_json(self) -> bytes:
        """The values, computed from the candles as they are now."""
        market = Market.objects.get(pk=self.market_id)
        return values_json(candles.load_grid([market], self.newest_open, self.rows), self.names, self.limit)


@lru_cache(maxsize=32)
def _values_by_marks(asked: Asked, marks: bytes) -> bytes:  # noqa: ARG001  # other marks are another entry
    """The values, kept for as long as the marks of their candles are the same."""
    return asked.values_json()


def values_json(grid: CandleGrid, names: Sequence[str], limit: int) -> bytes:
    """JSON list of outputs of the catalogue at the newest `limit` instants of a grid that have a candle."""
    columns = lookup.compute_indicators(grid, names, rows=limit)
    shown = grid.tail(limit)
    present = shown.present[0]
    times = iso_texts(shown.open_time[present])
    lines = zip(*(finite_values(values[present]) for values in columns.values()), strict=True)
    return orjson.dumps(
        [
            {"candle_time": time, "values": dict(zip(columns, line, strict=True))}
            for time, line in zip(times, lines, strict=True)
        ]
    )


def finite_values(column: npt.NDArray[np.float64]) -> list[float | None]:
    """Values of a column; None where they are not finite.

    >>> finite_values(np.array([0.5, np.nan]))
    [0.5, None]
    """
    found = column.astype(object)
    found[~np.isfinite(column)] = None
    return list(found)


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
