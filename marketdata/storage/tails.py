"""Reading the newest candles of many markets with marks that show changes of older ones.

Triggers of migration 0008 renew a block's `settled` mark, in the same transaction, whenever a candle of it changes, is
deleted, or is added late; a candle later than all others changes only `newest`. Equal marks therefore mean equal
candles up to the `newest` that was read with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.db import connection

from marketdata.intervals import INTERVAL_MS
from marketdata.storage.column_cache import LENGTH_MS
from marketdata.storage.columns import COLUMNS, fetch_binary, packed, unpacked

MARK_SQL = "int8send(market_id) || int8send(block) || int8send(newest) || uuid_send(coalesce(settled, stamp))"
_MARK = np.dtype([("market_id", ">i8"), ("block", ">i8"), ("newest", ">i8"), ("settled", "V16")])

Mark = tuple[int, bytes]
"""Open of the newest candle a block ever had, and the mark of all its other candles."""
Marks = Mapping[tuple[int, int], Mark]
"""By market and number of the block."""


@dataclass(frozen=True, eq=False)
class Tail:
    """Candles opening in a span, and marks of blocks from an earlier time on."""

    values: npt.NDArray[np.float64]
    marks: Marks


def is_available() -> bool:
    """Whether marks can be used: PostgreSQL, and no open transaction that could be rolled back."""
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def read_tail(
    market_ids: Sequence[int], marks_from: int, start: int, until: int, columns: Sequence[str] = COLUMNS
) -> Tail:
    """Read candles opening in ``[start, until)`` and the marks of the blocks of ``[marks_from, until)``.

    Returns
    -------
    Tail
        `values` of shape (columns, markets, candles), NaN where there is none.
    """
    ids = ", ".join(str(int(key)) for key in market_ids)
    candles, marks = fetch_binary(
        f"SELECT (SELECT {packed(columns)} FROM candles WHERE market_id IN ({ids}) "  # noqa: S608
        f"AND open_time >= {int(start)} AND open_time < {int(until)}), "
        f"(SELECT string_agg({MARK_SQL}, ''::bytea) FROM candle_blocks WHERE market_id IN ({ids}) "
        f"AND block >= {int(marks_from) // LENGTH_MS} AND block <= {(int(until) - 1) // LENGTH_MS})"
    )[0]
    order = np.argsort(np.array(market_ids, dtype=np.int64))
    found = unpacked(candles, columns)
    row = order[np.searchsorted(np.array(market_ids, dtype=np.int64), found["market_id"], sorter=order)]
    values = np.full((len(columns), len(market_ids), (until - start) // INTERVAL_MS), np.nan)
    position = (found["open_time"].astype(np.int64) - start) // INTERVAL_MS
    for column, name in zip(values, columns, strict=True):
        column[row, position] = found[name]
    rows = np.frombuffer(marks or b"", dtype=_MARK)
    return Tail(
        values,
        {(int(row["market_id"]), int(row["block"])): (int(row["newest"]), row["settled"].tobytes()) for row in rows},
    )


def read_marks(market_id: int, from_ms: int, until_ms: int) -> bytes:
    """The marks of a market's blocks from one open time to another, as one value."""
    statement = (
        f"SELECT string_agg({MARK_SQL}, ''::bytea ORDER BY block) FROM candle_blocks "  # noqa: S608
        f"WHERE market_id = {int(market_id)} AND block >= {int(from_ms) // LENGTH_MS} "
        f"AND block <= {int(until_ms) // LENGTH_MS}"
    )
    return bytes(fetch_binary(statement)[0][0] or b"")


def changed_markets(before: Marks, after: Marks, held_until: int) -> set[int]:
    """Markets with possibly changed candles opening at or before `held_until` since `before`.

    Examples
    --------
    >>> before = {(1, 0): (600_000, b"a"), (2, 0): (300_000, b"b")}
    >>> changed_markets(before, {(1, 0): (900_000, b"a"), (2, 0): (300_000, b"b")}, 600_000)
    set()
    >>> changed_markets(before, {(1, 0): (600_000, b"c"), (2, 0): (600_000, b"b")}, 600_000)
    {1, 2}
    """
    found = set()
    for key in before.keys() | after.keys():
        market_id, block = key
        if block * LENGTH_MS > held_until:
            continue
        newest, settled = before.get(key, (-1, b""))
        newest_now, settled_now = after.get(key, (-1, b""))
        # A market that lacked the last candles may have received them; one that lost its newest was rolled back.
        lacking = newest < min(held_until, (block + 1) * LENGTH_MS - INTERVAL_MS)
        if settled != settled_now or newest_now < newest or (lacking and newest_now != newest):
            found.add(market_id)
    return found
