"""Candles out of the database as whole columns of floats: the same bits from PostgreSQL and from SQLite.

Both round the stored decimal correctly: PostgreSQL in its cast, SQLite's fixed-width text by Python's parser.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

COLUMNS = ("open", "high", "low", "close", "volume")
_COPY_HEADER = 19
_WIRE = np.dtype(
    [("count", ">i2")]
    + [
        part
        for name in ("market_id", "open_time", *COLUMNS)
        for part in ((f"{name}_size", ">i4"), (name, ">i8" if name in {"market_id", "open_time"} else ">f8"))
    ]
)
"""One row of a binary COPY whose seven columns are all eight bytes wide and never null."""


def read_columns(market_ids: Sequence[int], from_ms: int, until_ms: int) -> dict[str, npt.NDArray[Any]]:
    """Columns of every stored candle opening in ``[from_ms, until_ms)``, in no promised order."""
    if not market_ids:
        return {name: np.empty(0, np.int64) for name in ("market_id", "open_time", *COLUMNS)}
    where = (
        f"FROM candles WHERE market_id IN ({', '.join(str(int(key)) for key in market_ids)}) "
        f"AND open_time >= {int(from_ms)} AND open_time < {int(until_ms)}"
    )
    return _read_postgresql(where) if connection.vendor == "postgresql" else _read_sqlite(where)


def _read_postgresql(where: str) -> dict[str, npt.NDArray[Any]]:
    casts = ", ".join(f"{name}::float8" for name in COLUMNS)
    statement = f"COPY (SELECT market_id, open_time, {casts} {where}) TO STDOUT (FORMAT BINARY)"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        wire = b"".join(copy)
    rows = np.frombuffer(wire, dtype=_WIRE, offset=_COPY_HEADER, count=(len(wire) - _COPY_HEADER) // _WIRE.itemsize)
    return {
        name: rows[name].astype(np.int64 if name in {"market_id", "open_time"} else np.float64)
        for name in ("market_id", "open_time", *COLUMNS)
    }


def _read_sqlite(where: str) -> dict[str, npt.NDArray[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT market_id, open_time, {', '.join(COLUMNS)} {where}")
        rows = cursor.fetchall()
    if not rows:
        return {name: np.empty(0, np.int64) for name in ("market_id", "open_time", *COLUMNS)}
    market_id, open_time, *texts = zip(*rows, strict=True)
    return {
        "market_id": np.array(market_id, dtype=np.int64),
        "open_time": np.array(open_time, dtype=np.int64),
        **{name: np.array([float(text) for text in column]) for name, column in zip(COLUMNS, texts, strict=True)},
    }
