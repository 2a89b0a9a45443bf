"""Candles after a prediction, as exact stored decimals."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt

from marketdata.intervals import INTERVAL_MS
from marketdata.models import AbsentStretch, Candle, Market

SCALE = 8
PRICES = ("open", "high", "low", "close")

State = Literal["whole", "waiting", "absent"]


@dataclass(frozen=True, eq=False)
class FollowingCandles:
    """Candles of one market from `start_ms` on, prices as integers of the eighth decimal place."""

    start_ms: int
    present: npt.NDArray[np.bool_]
    absent: npt.NDArray[np.bool_]
    prices: dict[str, npt.NDArray[np.generic]]

    def rows(self, open_ms: int, horizon: int) -> slice:
        """Positions of the `horizon` candles after the one opening at `open_ms`."""
        first = (open_ms - self.start_ms) // INTERVAL_MS + 1
        return slice(first, first + horizon)

    def state(self, open_ms: int, horizon: int) -> State:
        """State of the window: whole, waiting for candles, or absent at the exchange for good."""
        rows = self.rows(open_ms, horizon)
        if rows.start < 0 or rows.stop > len(self.present):
            return "waiting"
        missing = ~self.present[rows]
        if not missing.any():
            return "whole"
        return "absent" if self.absent[rows][missing].all() else "waiting"

    def range_of(self, open_ms: int, horizon: int) -> tuple[Decimal, Decimal]:
        """Highest high and lowest low of a whole window."""
        rows = self.rows(open_ms, horizon)
        return _decimal(self.prices["high"][rows].max()), _decimal(self.prices["low"][rows].min())

    def price(self, name: str, open_ms: int, ahead: int) -> Decimal:
        """One price of the candle `ahead` candles after the one opening at `open_ms`."""
        return _decimal(self.prices[name][self.rows(open_ms, 1).start + ahead - 1])

    def floats(self, name: str, open_ms: int, horizon: int) -> npt.NDArray[np.float64]:
        """One column of a whole window, shape (1, horizon)."""
        scaled = self.prices[name][self.rows(open_ms, horizon)]
        return np.array([[float(_decimal(value)) for value in scaled]])


def following_candles(market: Market, opens: Sequence[int], longest: int) -> FollowingCandles:
    """Read up to `longest` candles after each of the candles opening at `opens`."""
    start, until = min(opens), max(opens) + (longest + 1) * INTERVAL_MS
    count = (until - start) // INTERVAL_MS
    present, absent = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    stored = Candle.objects.filter(market=market, open_time__gte=start, open_time__lt=until)
    found = list(stored.order_by("open_time").values_list("open_time", *PRICES))
    at = [(row[0] - start) // INTERVAL_MS for row in found]
    present[at] = True
    prices: dict[str, npt.NDArray[np.generic]] = {}
    for column, name in enumerate(PRICES, start=1):
        scaled = [int(row[column].scaleb(SCALE)) for row in found]
        # Prices above 92 billion do not fit 64 bits at eight places; Python's own integers do.
        wide = any(value >= 2**63 for value in scaled)
        prices[name] = np.zeros(count, dtype=object if wide else np.int64)
        prices[name][at] = scaled
    stretches = AbsentStretch.objects.filter(market=market, end__gt=start, start__lt=until).values_list("start", "end")
    for begins, ends in stretches:
        absent[max(0, (begins - start) // INTERVAL_MS) : max(0, (ends - start) // INTERVAL_MS)] = True
    return FollowingCandles(start, present, absent & ~present, prices)


def _decimal(scaled: object) -> Decimal:
    return Decimal(int(scaled)).scaleb(-SCALE)  # type: ignore[call-overload]
