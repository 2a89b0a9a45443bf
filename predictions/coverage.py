"""How often the bands held lately: the realised coverage every prediction carries.

Kept per process as counts over the trailing month, brought up to date outside the hot path; a
prediction shows what was known when it was made.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from modelregistry.estimators.forecast import BANDS
from predictions.models import PredictionLog

TRAILING = timedelta(days=30)
OVERLAP = timedelta(milliseconds=2 * INTERVAL_MS)

Cell = tuple[int, int]
"""Market id and horizon."""


class _Ledger:
    """Which bands held, per cell and candle, and their counts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: dict[Cell, dict[datetime, tuple[bool, ...]]] = defaultdict(dict)
        self.counts: dict[Cell, list[int]] = defaultdict(lambda: [0] * (2 * len(BANDS)))

    def put(self, cell: Cell, candle_time: datetime, flags: tuple[bool, ...]) -> None:
        """Enter one outcome; a repeat replaces."""
        self._drop(cell, candle_time)
        self.held[cell][candle_time] = flags
        self.counts[cell] = [count + flag for count, flag in zip(self.counts[cell], flags, strict=True)]

    def prune(self, oldest: datetime) -> None:
        """Forget what has left the trailing month."""
        for cell, held in self.held.items():
            for candle_time in [at for at in held if at < oldest]:
                self._drop(cell, candle_time)

    def _drop(self, cell: Cell, candle_time: datetime) -> None:
        flags = self.held[cell].pop(candle_time, None)
        if flags is not None:
            self.counts[cell] = [count - flag for count, flag in zip(self.counts[cell], flags, strict=True)]


_ledger = _Ledger()
_seen_until: dict[Cell, datetime] = {}
_known_markets: set[int] = set()


def forget() -> None:
    """Start anew, as a new process would."""
    with _ledger.lock:
        _ledger.held.clear()
        _ledger.counts.clear()
        _seen_until.clear()
        _known_markets.clear()


def refresh(markets: Sequence[Market]) -> None:
    """Read the outcomes that came in since the last call."""
    oldest = clock.market_now() - TRAILING
    with _ledger.lock:
        seen: dict[int, datetime] = {}
        for (market_id, _), at in _seen_until.items():
            seen[market_id] = min(at, seen.get(market_id, at))
        alike: dict[datetime, list[int]] = defaultdict(list)
        for market in markets:
            alike[max(oldest, seen[market.id] - OVERLAP) if market.id in seen else oldest].append(market.id)
        for since, market_ids in alike.items():
            _read(market_ids, since)
        _known_markets.update(market.id for market in markets)
        _ledger.prune(oldest)


def ensure(markets: Sequence[Market]) -> None:
    """Read the outcomes of markets this process has not looked at yet."""
    missing = [market for market in markets if market.id not in _known_markets]
    if missing:
        refresh(missing)


def coverage_of(market_id: int, horizon: int) -> list[dict[str, Any]]:
    """Say for each band how often the high and the low fell into it: ``level, high, low, n``."""
    with _ledger.lock:
        cell = (market_id, horizon)
        n, counts = len(_ledger.held.get(cell, ())), _ledger.counts.get(cell, [0] * (2 * len(BANDS)))
    return [
        {
            "level": share,
            "high": round(counts[2 * k] / n, 6) if n else None,
            "low": round(counts[2 * k + 1] / n, 6) if n else None,
            "n": n,
        }
        for k, (share, _, _) in enumerate(BANDS)
    ]


def held_bands(high: Sequence[str], low: Sequence[str], actual_high: Decimal, actual_low: Decimal) -> tuple[bool, ...]:
    """Tell for each band whether the high and the low fell into it, in pairs.

    >>> ladder = ["1", "2", "3", "4", "5", "6", "7"]
    >>> held_bands(ladder, ladder, Decimal("2.5"), Decimal("4"))
    (False, True, True, True, True, True)
    """
    flags: list[bool] = []
    for _, lower, upper in BANDS:
        flags.append(Decimal(high[lower]) <= actual_high <= Decimal(high[upper]))
        flags.append(Decimal(low[lower]) <= actual_low <= Decimal(low[upper]))
    return tuple(flags)


def _read(market_ids: Sequence[int], since: datetime) -> None:
    rows = PredictionLog.objects.filter(
        market_id__in=market_ids, candle_time__gte=since, actual_high__isnull=False, late=False
    ).values_list("market_id", "horizon", "candle_time", "high_quantiles", "low_quantiles", "actual_high", "actual_low")
    for market_id, horizon, candle_time, high, low, actual_high, actual_low in rows.order_by().iterator(5000):
        cell = (market_id, horizon)
        assert actual_high is not None
        assert actual_low is not None
        _ledger.put(cell, candle_time, held_bands(high, low, actual_high, actual_low))
        _seen_until[cell] = max(candle_time, _seen_until.get(cell, candle_time))
