"""Stored candles later than their market's clock: finding them and moving them into quarantine."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from marketdata import clock
from marketdata.coverage import quarantine
from marketdata.exchange import closes
from marketdata.models import Candle, Market
from marketdata.storage import candles as store


def rows_ahead(market: Market) -> QuerySet[Candle]:
    """Rows that open later than any candle of this market that can have closed."""
    return Candle.objects.filter(market=market, open_time__gt=closes.last_open_to_follow(market.source))


def quarantine_rows_ahead(market: Market) -> int:
    """Move rows from the future into quarantine with the reason; return their number.

    The later of wall time and the market's clock decides: a wrong clock reading must not empty a market.
    """
    with transaction.atomic():
        ahead = rows_ahead(market).filter(open_time__gt=clock.wall_ms()).order_by("open_time")
        candles = list(ahead.select_for_update())
        for candle in candles:
            raw = {"open_time": candle.open_time, **store.json_values(candle)}
            quarantine.store(market, candle.origin, [(raw, _reason(candle))])
        Candle.objects.filter(pk__in=[candle.pk for candle in candles]).delete()
    return len(candles)


def _reason(candle: Candle) -> str:
    opens, removed = clock.to_datetime(candle.open_time), clock.wall_now()
    return f"stored {_minute(candle.received_at)} although it opens {_minute(opens)}; removed {_minute(removed)}"


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
