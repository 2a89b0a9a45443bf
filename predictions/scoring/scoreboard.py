"""Cached track record, computed at most once a minute and filtered per request."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef

from marketdata import clock
from marketdata.models import Market
from marketdata.process_state import process_state
from predictions.log.queries import require_horizon, require_symbol
from predictions.models import PredictionLog
from predictions.scoring.track_record import NetOf, track_record

CACHE_SECONDS = 60.0
MAX_CACHED_RESULTS = 32


class Results:
    """Track records of this process, each with the monotonic time it was computed at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_request: dict[tuple[Any, ...], tuple[float, list[dict[str, Any]]]] = {}


def scoreboard(
    symbol: str | None = None,
    horizon: int | None = None,
    version: str | None = None,
    since: datetime | None = None,
    net_results: Callable[..., NetOf] | None = None,
) -> list[dict[str, Any]]:
    """Scores by market, horizon and version, filtered.

    Raises
    ------
    UnknownSymbol, InvalidRequest
        If no market has the symbol, or the horizon was never served.
    """
    if symbol is not None:
        require_symbol(symbol)
    if horizon is not None:
        require_horizon(horizon)
    return [
        result
        for result in _computed(since, net_results)
        if (symbol is None or result["symbol"] == symbol)
        and (horizon is None or result["horizon"] == horizon)
        and (version is None or result["version"] == version)
    ]


def _computed(since: datetime | None, net_results: Callable[..., NetOf] | None) -> list[dict[str, Any]]:
    """All scores since an instant; concurrent callers wait for one computation."""
    predicted = Exists(PredictionLog.objects.filter(market=OuterRef("pk")))
    markets = list(Market.objects.filter(predicted).order_by("symbol", "source"))
    key = (tuple(market.pk for market in markets), since)
    kept = process_state.of(Results)
    with kept.lock:
        made_at, results = kept.by_request.get(key, (float("-inf"), []))
        if not 0 <= clock.monotonic() - made_at < CACHE_SECONDS:
            nets = net_results(since, [market.pk for market in markets]) if net_results else None
            results = track_record(markets, since, nets)
            if len(kept.by_request) >= MAX_CACHED_RESULTS:
                kept.by_request.clear()
            kept.by_request[key] = (clock.monotonic(), results)
        return results
