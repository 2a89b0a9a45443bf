"""Reading candles for whoever asks."""

from datetime import datetime

from django.db.models import QuerySet

from marketdata import clock
from marketdata.models import Candle, Market


def candles_between(market: Market, since: datetime | None, until: datetime | None) -> QuerySet[Candle]:
    """Candles opening in ``[since, until)``, oldest first."""
    candles = Candle.objects.filter(market=market)
    if since is not None:
        candles = candles.filter(open_time__gte=clock.to_ms(since))
    if until is not None:
        candles = candles.filter(open_time__lt=clock.to_ms(until))
    return candles.order_by("open_time")
