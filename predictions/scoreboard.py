"""The track record as callers ask for it: computed at most once a minute, then cut to what they want."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef

from marketdata import clock
from marketdata.models import Market
from predictions.log import require_horizon, require_symbol
from predictions.models import PredictionLog
from predictions.track_record import NetOf, track_record

KEPT_SECONDS = 60.0
MOST_KEPT = 32

_kept: dict[tuple[Any, ...], tuple[float, list[dict[str, Any]]]] = {}
_lock = threading.Lock()


def forget() -> None:
    """Compute anew at the next call."""
    _kept.clear()


def scoreboard(
    symbol: str | None = None,
    horizon: int | None = None,
    version: str | None = None,
    since: datetime | None = None,
    net_results: Callable[..., NetOf] | None = None,
) -> list[dict[str, Any]]:
    """Scores per market, horizon and version.

    Raises
    ------
    UnknownSymbol, InvalidRequest
        If no market has the symbol, or nobody ever answered the horizon.
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
    """Everything since an instant; one caller computes, those who come meanwhile wait for it."""
    answered = Exists(PredictionLog.objects.filter(market=OuterRef("pk")))
    markets = list(Market.objects.filter(answered).order_by("symbol", "source"))
    key = (tuple(market.pk for market in markets), since)
    with _lock:
        made_at, results = _kept.get(key, (float("-inf"), []))
        if not 0 <= clock.monotonic() - made_at < KEPT_SECONDS:
            nets = net_results(since, [market.pk for market in markets]) if net_results else None
            results = track_record(markets, since, nets)
            if len(_kept) >= MOST_KEPT:
                _kept.clear()
            _kept[key] = (clock.monotonic(), results)
        return results
