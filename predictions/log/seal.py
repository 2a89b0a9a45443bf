"""Seal of a log row: SHA-256 over its immutable columns and the previous seal. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

GENESIS = "0" * 64
"""Previous seal of the first row of a chain."""


def canonical(record: Mapping[str, Any]) -> bytes:
    """Canonical JSON text of a record, the input of its seal.

    Keys are sorted, decimals keep their column's places, times are UTC to the microsecond, and
    numbers take the shortest form that reads back to the same bits, so a row read from any
    database gives the bytes it was sealed with.

    Examples
    --------
    >>> canonical({"b": Decimal("1.50000000"), "a": datetime(2024, 1, 1, tzinfo=UTC)})
    b'{"a":"2024-01-01T00:00:00.000000Z","b":"1.50000000"}'
    """
    return orjson.dumps(record, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)


def seal_of(previous: str, record: Mapping[str, Any]) -> str:
    """Seal of a record that follows the previous seal.

    Examples
    --------
    >>> seal_of(GENESIS, {"price": Decimal("1")})[:12]
    'e51726817efe'
    >>> seal_of(GENESIS, {"price": Decimal("2")})[:12]
    'dbee8580a66a'
    """
    return sha256(previous.encode("ascii") + canonical(record)).hexdigest()


def _plain(value: Any) -> str:
    """Text of a value that JSON has no form for."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return _instant_text(value)
    raise TypeError(f"a seal covers no {type(value).__name__}")


@lru_cache(maxsize=1024)
def _instant_text(instant: datetime) -> str:
    """Text of an instant; the rows of one candle share few."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
