"""Queries of the prediction log."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta

from django.db.models import OuterRef, Q, Subquery

from marketdata import clock
from marketdata.errors import UnknownSymbol, unknown_symbol_message
from marketdata.exchange import closes
from marketdata.models import Market
from marketdata.storage.selections import Selection
from modelregistry import registry
from predictions.errors import InvalidRequest
from predictions.models import PredictionLog
from predictions.reasons import OUT_OF_DISTRIBUTION
from predictions.requests import served_horizons

NEWEST_FIRST = Selection(PredictionLog, ("-candle_time", "symbol", "horizon", "-made_at", "id"))
"""The whole log, newest first."""


def logged(symbol: str | None, horizon: int | None, since: datetime | None, until: datetime | None) -> Selection:
    """Rows of the log, newest first."""
    found = NEWEST_FIRST
    if symbol is not None:
        require_symbol(symbol)
        found = found.where(symbol=symbol)
    if horizon is not None:
        require_horizon(horizon)
        found = found.where(horizon=horizon)
    return in_period(found, since, until)


def in_period(rows: Selection, since: datetime | None, until: datetime | None) -> Selection:
    """Rows for candles in ``[since, until)``; None leaves an end open."""
    if since is not None:
        rows = rows.where(candle_time__gte=since)
    return rows if until is None else rows.where(candle_time__lt=until)


def degraded_counts(over: timedelta) -> Counter[str]:
    """Count degrading reasons of the predictions for candles of the given period."""
    recent = PredictionLog.objects.filter(candle_time__gte=clock.market_now() - over, degraded=True)
    return Counter(reason for reasons in recent.values_list("reasons", flat=True) for reason in reasons)


def suppressed_counts(over: timedelta) -> Counter[str]:
    """Count suppressed out-of-distribution flags of the given period, by symbol."""
    recent = PredictionLog.objects.filter(
        candle_time__gte=clock.market_now() - over, reason_details__has_key=OUT_OF_DISTRIBUTION
    )
    found = recent.values_list("symbol", "reasons")
    return Counter(symbol for symbol, reasons in found if OUT_OF_DISTRIBUTION not in reasons)


def newest(symbol: str | None = None, horizon: int | None = None) -> list[PredictionLog]:
    """Newest row of every enabled market and horizon; of several ensembles the last one."""
    until = clock.to_datetime(closes.latest_open())
    rows = PredictionLog.objects.filter(market=OuterRef("pk"), candle_time__lte=until).order_by("-candle_time")
    markets = Market.objects.enabled().annotate(newest=Subquery(rows.values("candle_time")[:1]))
    if symbol is not None:
        require_symbol(symbol)
        markets = markets.filter(symbol=symbol)
    by_time = defaultdict(list)
    for market_id, candle_time in markets.values_list("pk", "newest"):
        if candle_time is not None:
            by_time[candle_time].append(market_id)
    wanted = Q(pk__in=[])
    for candle_time, market_ids in by_time.items():
        wanted |= Q(candle_time=candle_time, market_id__in=market_ids)
    if horizon is not None:
        require_horizon(horizon)
        wanted &= Q(horizon=horizon)
    found = PredictionLog.objects.filter(wanted).order_by("symbol", "horizon", "made_at")
    return list({(row.symbol, row.horizon): row for row in found}.values())


def require_symbol(symbol: str) -> None:
    """Raise unless a market has the symbol, enabled or not."""
    if not Market.objects.filter(symbol=symbol).exists():
        raise UnknownSymbol(unknown_symbol_message(symbol, Market.objects.values_list("symbol", flat=True)))


def require_horizon(horizon: int) -> None:
    """Raise unless a champion serves the horizon or the log has it."""
    sources = set(Market.objects.enabled().values_list("source", flat=True))
    served = {h for source in sources or {"exchange"} for h in served_horizons(registry.load_ensemble(source))}
    if horizon not in served and not PredictionLog.objects.filter(horizon=horizon).exists():
        raise InvalidRequest({"horizon": [f"Write one of {', '.join(map(str, sorted(served)))}."]})
