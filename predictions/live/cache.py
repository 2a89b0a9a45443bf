"""Cache of computed predictions, under keys other services may read.

A copy of the database. Values are JSON bytes, in Redis and in process. If Redis cannot be reached, a read is a miss.
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
"""Cache shared by all processes; libraries keep objects that are not JSON in the default cache."""

MARGIN_MS = 30_000
"""How long past the next close a value is kept."""
MARKET_ID = b',"market_id":'


def plain_key(key: str, prefix: str, version: int) -> str:  # noqa: ARG001
    """Return the key unchanged: keys are part of the contract."""
    return key


class JsonBytesSerializer:
    """Cache serializer that writes JSON; bytes are taken as JSON already."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Accept the options of the cache; none is used."""

    def dumps(self, value: Any) -> bytes:
        """Encode a value as JSON bytes."""
        return value if isinstance(value, bytes) else orjson.dumps(value)

    def loads(self, value: bytes) -> Any:
        """Decode JSON bytes."""
        return orjson.loads(value)


def key_of(symbol: str, horizon: int, candle_time: datetime) -> str:
    """Cache key of one market, horizon and candle.

    >>> from datetime import UTC
    >>> key_of("BTCUSDT", 6, datetime(2024, 1, 1, tzinfo=UTC))
    'prediction:BTCUSDT:6:1704067200'
    """
    return f"prediction:{symbol}:{horizon}:{clock.to_ms(candle_time) // 1000}"


def with_market(body: bytes, market_id: int) -> bytes:
    """Append the market's id to a prediction object, for the cache.

    >>> with_market(b'{"id":"x"}', 3)
    b'{"id":"x","market_id":3}'
    """
    return body[:-1] + MARKET_ID + str(market_id).encode() + b"}"


def split(value: bytes) -> tuple[bytes, int]:
    """Split a cached value into the prediction object's bytes and the market's id.

    >>> split(b'{"id":"x","market_id":3}')
    (b'{"id":"x"}', 3)
    """
    at = value.rindex(MARKET_ID)
    return value[:at] + b"}", int(value[at + len(MARKET_ID) : -1])


def read(key: str) -> bytes | None:
    """Fetch the raw value; None if it is missing or cannot be fetched."""
    try:
        # Read as raw bytes: they are sent to the client without decoding.
        value = cache.get(key) if settings.EMBEDDED else cache.client.get_client(write=False).get(key)
    except Exception as error:  # noqa: BLE001  # any failure of Redis or the network is a miss
        logger.warning("cache unreadable: %s", error)
        return None
    return value if isinstance(value, bytes) else None


def write_ahead(values: Iterable[tuple[str, bytes]], candle_open_ms: int) -> bool:
    """Store all predictions of one candle in one pipeline; False if the cache failed."""
    left_ms = candle_open_ms + 2 * INTERVAL_MS + MARGIN_MS - clock.market_ms()
    seconds = max(settings.PREDICTION_CACHE_TTL, math.ceil(left_ms / 1000))
    try:
        cache.set_many(dict(values), timeout=seconds)
    except Exception as error:  # noqa: BLE001  # as above
        logger.warning("cache unwritable: %s", error)
        return False
    return True
