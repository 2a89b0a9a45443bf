"""Copies of stored candles, for histories that many tests begin with.

The first test stores its candles as the engine does; the rows that this leaves in the database are kept, and written
again for later tests in a tenth of the time.
"""

from django.db import connection

from marketdata import clock
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle

CELLS = ", ".join((*CandleRow._fields, "origin", "revision"))
MOST_KEPT = 24
"""Histories of 4,000 candles take some megabytes each."""

_kept = {}


def store_once(market, key, store):
    """Store candles of a market without any by `store()`, or as its earlier call with this key left them."""
    key = (market.symbol, *key)
    if key not in _kept:
        store()
        if len(_kept) < MOST_KEPT:
            _kept[key] = _read(market)
        return
    if connection.vendor == "postgresql":
        _copy(market, _kept[key])
    else:
        _insert(market, _kept[key])


def _read(market):
    """Stored cells of all candles of a market: text of a COPY, or rows of SQLite."""
    query = f"SELECT {CELLS} FROM candles WHERE market_id = {market.id} ORDER BY open_time"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY ({query}) TO STDOUT") as copy:
                return b"".join(copy).decode()
        return cursor.execute(query).fetchall()


def _copy(market, text):
    constants = f"\t{market.id}\t{clock.wall_now().isoformat()}\n"
    with connection.cursor() as cursor:
        statement = f"COPY candles ({CELLS}, market_id, received_at) FROM STDIN"
        with cursor.copy(statement) as copy:
            copy.write(text.replace("\n", constants))


def _insert(market, rows):
    received_at = Candle._meta.get_field("received_at").get_db_prep_value(clock.wall_now(), connection)
    places = ", ".join(["%s"] * (len(CandleRow._fields) + 2))
    statement = f"INSERT INTO candles ({CELLS}, market_id, received_at) VALUES ({places}, {market.id}, '{received_at}')"
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
