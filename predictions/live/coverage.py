"""Realised coverage of the bands over the trailing month, shown in every prediction.

Kept as counts per process and refreshed outside the hot path; a prediction shows the coverage known
when it was made.
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
from marketdata.process_state import process_state
from modelregistry.estimators.forecast import BANDS
from predictions.models import PredictionLog

TRAILING = timedelta(days=30)
OVERLAP = timedelta(milliseconds=2 * INTERVAL_MS)

MarketHorizon = tuple[int, int]
"""Market id and horizon."""


class CoverageCounts:
    """Which bands covered the outcome, by market, horizon and candle, with their counts."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.covered: dict[MarketHorizon, dict[datetime, tuple[bool, ...]]] = defaultdict(dict)
        self.counts: dict[MarketHorizon, list[int]] = defaultdict(lambda: [0] * (2 * len(BANDS)))
        self.seen_until: dict[MarketHorizon, datetime] = {}
        self.known_markets: set[int] = set()

    def put(self, key: MarketHorizon, candle_time: datetime, flags: tuple[bool, ...]) -> None:
        """Add one outcome, replacing an earlier one of the same candle."""
        self._drop(key, candle_time)
        self.covered[key][candle_time] = flags
        self.counts[key] = [count + flag for count, flag in zip(self.counts[key], flags, strict=True)]

    def prune(self, oldest: datetime) -> None:
        """Drop outcomes older than the trailing month."""
        for key, covered in self.covered.items():
            for candle_time in [at for at in covered if at < oldest]:
                self._drop(key, candle_time)

    def _drop(self, key: MarketHorizon, candle_time: datetime) -> None:
        flags = self.covered[key].pop(candle_time, None)
        if flags is not None:
            self.counts[key] = [count - flag for count, flag in zip(self.counts[key], flags, strict=True)]


def refresh(markets: Sequence[Market]) -> None:
    """Read the outcomes that were scored since the last call."""
    oldest = clock.market_now() - TRAILING
    kept = process_state.of(CoverageCounts)
    with kept.lock:
        seen: dict[int, datetime] = {}
        for (market_id, _), at in kept.seen_until.items():
            seen[market_id] = min(at, seen.get(market_id, at))
        by_start: dict[datetime, list[int]] = defaultdict(list)
        for market in markets:
            by_start[max(oldest, seen[market.id] - OVERLAP) if market.id in seen else oldest].append(market.id)
        for since, market_ids in by_start.items():
            _read(kept, market_ids, since)
        kept.known_markets.update(market.id for market in markets)
        kept.prune(oldest)


def ensure(markets: Sequence[Market]) -> None:
    """Read the outcomes of markets this process has not read yet."""
    known = process_state.of(CoverageCounts).known_markets
    missing = [market for market in markets if market.id not in known]
    if missing:
        refresh(missing)


def coverage_of(market_id: int, horizon: int) -> list[dict[str, Any]]:
    """Share of outcomes inside each band, as dicts of ``level, high, low, n``."""
    kept = process_state.of(CoverageCounts)
    with kept.lock:
        key = (market_id, horizon)
        n, counts = len(kept.covered.get(key, ())), kept.counts.get(key, [0] * (2 * len(BANDS)))
    return [
        {
            "level": share,
            "high": round(counts[2 * k] / n, 6) if n else None,
            "low": round(counts[2 * k + 1] / n, 6) if n else None,
            "n": n,
        }
        for k, (share, _, _) in enumerate(BANDS)
    ]


def covered_bands(
    high: Sequence[str], low: Sequence[str], actual_high: Decimal, actual_low: Decimal
) -> tuple[bool, ...]:
    """Whether the actual high and low lie inside each band, in pairs.

    >>> quantiles = ["1", "2", "3", "4", "5", "6", "7"]
    >>> covered_bands(quantiles, quantiles, Decimal("2.5"), Decimal("4"))
    (False, True, True, True, True, True)
    """
    flags: list[bool] = []
    for _, lower, upper in BANDS:
        flags.append(Decimal(high[lower]) <= actual_high <= Decimal(high[upper]))
        flags.append(Decimal(low[lower]) <= actual_low <= Decimal(low[upper]))
    return tuple(flags)


def _read(kept: CoverageCounts, market_ids: Sequence[int], since: datetime) -> None:
    rows = PredictionLog.objects.filter(
        market_id__in=market_ids, candle_time__gte=since, actual_high__isnull=False, late=False
    ).values_list("market_id", "horizon", "candle_time", "high_quantiles", "low_quantiles", "actual_high", "actual_low")
    for market_id, horizon, candle_time, high, low, actual_high, actual_low in rows.order_by().iterator(5000):
        key = (market_id, horizon)
        assert actual_high is not None
        assert actual_low is not None
        kept.put(key, candle_time, covered_bands(high, low, actual_high, actual_low))
        kept.seen_until[key] = max(candle_time, kept.seen_until.get(key, candle_time))
