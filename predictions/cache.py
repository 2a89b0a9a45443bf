"""Predictions computed ahead, under keys other services may read: a copy, never the truth.

Values are JSON bytes in Redis and in process alike. Redis away is a miss, never an error.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.core.cache import caches
from django.utils.connection import ConnectionProxy

from marketdata import clock
from marketdata.intervals import INTERVAL_MS

logger = logging.getLogger(__name__)

cache: Any = ConnectionProxy(caches, "shared")
"""What all processes share; the default cache is where libraries keep objects that are not JSON."""

MARGIN_MS = 30_000
"""How long past the next close a value is kept."""
MARKET_ID = b',"market_id":'


def plain_key(key: str, prefix: str, version: int) -> str:  # noqa: ARG001
    """Use keys as they are written: they are part of the contract."""
    return key


class JsonBytesSerializer:
    """JSON for everything; bytes are JSON already."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Take the cache's options, of which none matter here."""

    def dumps(self, value: Any) -> bytes:
        """Encode."""
        return value if isinstance(value, bytes) else orjson.dumps(value)

    def loads(self, value: bytes) -> Any:
        """Decode."""
        return orjson.loads(value)


def key_of(symbol: str, horizon: int, candle_time: datetime) -> str:
    """Name the value of one market, horizon and candle.

    >>> from datetime import UTC
    >>> key_of("BTCUSDT", 6, datetime(2024, 1, 1, tzinfo=UTC))
    'prediction:BTCUSDT:6:1704067200'
    """
    return f"prediction:{symbol}:{horizon}:{clock.to_ms(candle_time) // 1000}"


def with_market(body: bytes, market_id: int) -> bytes:
    """Append the market's id to a prediction object: what the cache holds.

    >>> with_market(b'{"id":"x"}', 3)
    b'{"id":"x","market_id":3}'
    """
    return body[:-1] + MARKET_ID + str(market_id).encode() + b"}"


def split(value: bytes) -> tuple[bytes, int]:
    """Take a cached value apart again: the prediction object's bytes and the market's id.

    >>> split(b'{"id":"x","market_id":3}')
    (b'{"id":"x"}', 3)
    """
    at = value.rindex(MARKET_ID)
    return value[:at] + b"}", int(value[at + len(MARKET_ID) : -1])


def read(key: str) -> bytes | None:
    """Fetch the raw value, None when it is not there or cannot be fetched."""
    try:
        # Redis is asked for the bytes themselves: they are the answer, and need no decoding on the way.
        value = cache.get(key) if settings.EMBEDDED else _redis().get(key)
    except Exception as error:  # noqa: BLE001  # whatever Redis or the network raise, it is a miss
        logger.warning("cache unreadable: %s", error)
        return None
    return value if isinstance(value, bytes) else None


def _redis() -> Any:
    return cache.client.get_client(write=False)


def write_ahead(values: Iterable[tuple[str, bytes]], candle_open_ms: int) -> bool:
    """Store all answers to one candle in one pipeline; False when the cache is away."""
    left_ms = candle_open_ms + 2 * INTERVAL_MS + MARGIN_MS - clock.market_ms()
    seconds = max(settings.PREDICTION_CACHE_TTL, math.ceil(left_ms / 1000))
    try:
        cache.set_many(dict(values), timeout=seconds)
    except Exception as error:  # noqa: BLE001  # as above
        logger.warning("cache unwritable: %s", error)
        return False
    return True
