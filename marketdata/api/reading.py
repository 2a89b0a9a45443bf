"""Queries of stored candles for the API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from marketdata import clock
from marketdata.api.payloads import CANDLE_FIELDS, candle_json
from marketdata.exchange import closes
from marketdata.models import Candle, Market
from marketdata.storage import aggregation
from marketdata.storage.aggregation import IntervalCandle
from marketdata.storage.selections import Selection
from marketdata.storage.text_rows import TextColumns, select


def candle_json_sql() -> str:
    """SQL expression of a stored candle's JSON, the same text as `candle_json`."""
    time = "to_char(to_timestamp(open_time / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    parts = [f"""'{{"open_time":"' || {time} || '"'"""]
    for name in CANDLE_FIELDS:
        field = Candle._meta.get_field(name)  # noqa: SLF001
        quote = "" if name == "trades" else '"'
        text = f"""'{quote}' || candles."{name}" || '{quote}'"""
        parts.append(f"""',"{name}":'""")
        parts.append(f"coalesce({text}, 'null')" if field.null else text)
    return " || ".join([*parts, """',"missing":0}'"""])


@dataclass(frozen=True)
class ListedCandles:
    """Candles as the list of candles shows them: open time, id and JSON object.

    PostgreSQL writes the JSON, since a list may hold a thousand candles; for SQLite it is written here.
    """

    names = ("open_time", "id", "json")
    columns = TextColumns(Candle, ("open_time", "id", *CANDLE_FIELDS))
    expressions = f"open_time, id, {candle_json_sql()}"

    def read(self, rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query, each with its open time, id and JSON."""
        if connection.vendor == "postgresql":
            return select(self.expressions, rows)
        return [(*row[:2], candle_json(row[0], row[2:])) for row in self.columns.read(rows)]


LISTED = ListedCandles()
CANDLES = Selection(Candle, ("open_time", "id"))
"""All candles, oldest first."""


def candles_between(market: Market, since: datetime | None, until: datetime | None) -> Selection:
    """Candles opening in ``[since, until)``, oldest first; none later than the market's clock."""
    candles = CANDLES.where(market=market.pk, open_time__lte=closes.last_open_to_follow(market.source))
    if since is not None:
        candles = candles.where(open_time__gte=clock.to_ms(since))
    return candles if until is None else candles.where(open_time__lt=clock.to_ms(until))


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
