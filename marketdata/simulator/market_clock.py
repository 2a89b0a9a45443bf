"""The simulated exchange's clock, with its own start and rate."""

from __future__ import annotations

import math
import threading

from marketdata import clock


class MarketClock:
    """Market time = start + rate * elapsed wall time.

    Parameters
    ----------
    begin_ms : int
        Market time at this moment, ms UTC.
    rate : float
        Market seconds per wall second; with 0 it moves only by :meth:`advance_to`.

    Raises
    ------
    ValueError
        If `rate` is negative or not finite: market time never runs backwards.
    """

    def __init__(self, begin_ms: int, rate: float = 1.0) -> None:
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"speed must be 0 or more, got {rate}")
        self.begin_ms = begin_ms
        self.rate = rate
        self._anchor_ms = float(begin_ms)
        self._anchor = clock.monotonic()
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Market time, ms UTC."""
        with self._lock:
            return self._now()

    def advance_to(self, market_ms: int) -> None:
        """Jump forward to `market_ms`; a time already past changes nothing."""
        with self._lock:
            if market_ms > self._now():
                self._anchor_ms, self._anchor = float(market_ms), clock.monotonic()

    def wall_seconds_until(self, market_ms: int) -> float:
        """Wall seconds from now until `market_ms`; infinite if the rate is 0."""
        missing_ms = market_ms - self.now_ms()
        if missing_ms <= 0:
            return 0.0
        return missing_ms / 1000 / self.rate if self.rate else math.inf

    def _now(self) -> int:
        return int(self._anchor_ms + self.rate * (clock.monotonic() - self._anchor) * 1000)
