"""Queries of stored candles for the API."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from marketdata import clock
from marketdata.api.payloads import CANDLE_FIELDS
from marketdata.decimals import DecimalText
from marketdata.exchange import closes
from marketdata.models import Candle, Market


def candles_between(market: Market, since: datetime | None, until: datetime | None) -> QuerySet[Candle]:
    """Candles opening in ``[since, until)``, oldest first; none later than the market's clock."""
    candles = Candle.objects.filter(market=market, open_time__lte=closes.last_open_to_follow(market.source))
    if since is not None:
        candles = candles.filter(open_time__gte=clock.to_ms(since))
    if until is not None:
        candles = candles.filter(open_time__lt=clock.to_ms(until))
    return candles.order_by("open_time")


def with_texts(candles: QuerySet[Candle]) -> QuerySet[Any]:
    """Named tuples of an open time, the `CANDLE_FIELDS` with decimals as texts, and the primary key."""
    columns = [name if name == "trades" else DecimalText(name) for name in CANDLE_FIELDS]
    return candles.values_list("open_time", *columns, "id", named=True)
