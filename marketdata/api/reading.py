"""Queries of stored candles for the API."""

from collections.abc import Callable, Sequence
from datetime import datetime

from django.db.models import QuerySet

from marketdata import clock
from marketdata.api.payloads import CANDLE_FIELDS
from marketdata.exchange import closes
from marketdata.models import Candle, Market
from marketdata.storage import aggregation
from marketdata.storage.aggregation import IntervalCandle
from marketdata.storage.text_rows import TextColumns

CANDLE_COLUMNS = TextColumns(Candle, ("open_time", *CANDLE_FIELDS, "id"))
"""What the list of candles shows; the primary key completes its order."""


def candles_between(market: Market, since: datetime | None, until: datetime | None) -> QuerySet[Candle]:
    """Candles opening in ``[since, until)``, oldest first; none later than the market's clock."""
    candles = Candle.objects.filter(market=market, open_time__lte=closes.last_open_to_follow(market.source))
    if since is not None:
        candles = candles.filter(open_time__gte=clock.to_ms(since))
    if until is not None:
        candles = candles.filter(open_time__lt=clock.to_ms(until))
    return candles.order_by("open_time")


def intervals_between(
    market: Market, length_ms: int, since: datetime | None, until: datetime | None
) -> Callable[[Sequence[int] | None, bool, int], list[IntervalCandle]]:
    """Function that reads closed intervals opening in ``[since, until)`` page by page.

    It takes an open time after which a page begins, or before which it ends where the page is read backwards.
    """
    stop = aggregation.closed_until(market, length_ms)
    if until is not None:
        stop = min(stop, _first_open(clock.to_ms(until), length_ms))
    start = 0 if since is None else _first_open(clock.to_ms(since), length_ms)

    def read(key: Sequence[int] | None, backwards: bool, n_rows: int) -> list[IntervalCandle]:
        from_ms, until_ms = start, stop
        if key is not None and backwards:
            until_ms = min(stop, _first_open(key[0], length_ms))
        elif key is not None:
            from_ms = max(start, _first_open(key[0] + 1, length_ms))
        return aggregation.read_first(market, length_ms, from_ms, until_ms, n_rows, newest_first=backwards)

    return read


def _first_open(instant_ms: int, length_ms: int) -> int:
    """First open of an interval at or after an instant."""
    return -(-instant_ms // length_ms) * length_ms
