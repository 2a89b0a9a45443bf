"""Publisher of the outbox: after the commit, in order per symbol."""

import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import redis
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from marketdata import clock
from signals.delivery.announcements import Announcer
from signals.delivery.hub import hub
from signals.errors import PublishFailed
from signals.models import OutboxMessage

logger = logging.getLogger(__name__)

BATCH = 2000
TIMEOUT_SECONDS = 2.0

_clients: dict[str, Any] = {}
_announcer = Announcer()
_drain_lock = threading.Lock()


def channel_of(symbol: str) -> str:
    """Redis channel of a symbol.

    >>> channel_of("BTCUSDT")
    'signals:BTCUSDT'
    """
    return f"signals:{symbol}"


def publish(symbols: Collection[str]) -> int:
    """Announce symbols whose signals were just committed, drain them and return the number of messages sent.

    The announcement comes before all work on the outbox: receivers read the log.
    """
    if not symbols:
        return 0
    with _drain_lock:
        announced = not settings.EMBEDDED and _announce(symbols) is None
    return drain(symbols, announced=announced)


def drain(symbols: Iterable[str] | None = None, *, announced: bool = False) -> int:
    """Publish all unsent messages (of these symbols) and return their number.

    A message is marked after it was sent, in the transaction that locks its symbol's oldest unsent
    row: a crash in between repeats it with the same bytes. A symbol whose row is locked is left to the
    process holding the lock, which looks again after its commit and so finds messages written meanwhile.
    """
    wanted = None if symbols is None else list(symbols)
    sent = 0
    while True:
        heads = _heads(wanted)  # outside the transaction: most calls find nothing
        if not heads:
            return sent
        with _drain_lock, transaction.atomic():
            batch = _claim(heads)
            if not batch:
                return sent
            failure = None if announced or settings.EMBEDDED else _announce({message.symbol for message in batch})
            failure = failure or _send(batch)
            if failure is not None:
                OutboxMessage.objects.filter(pk__in=_first_of_each(batch)).update(attempts=F("attempts") + 1)
                logger.warning("publishing failed, signals stay in the outbox: %s", failure)
                return sent
            OutboxMessage.objects.filter(pk__in=[message.pk for message in batch]).update(
                sent_at=clock.wall_now(), attempts=F("attempts") + 1
            )
        sent += len(batch)


def _heads(symbols: Sequence[str] | None) -> list[int]:
    """Ids of the oldest unsent message of each symbol."""
    if symbols is not None and not symbols:
        return []
    among = "" if symbols is None else f"AND symbol IN ({', '.join(['%s'] * len(symbols))}) "
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT min(id) FROM outbox_messages WHERE sent_at IS NULL {among}GROUP BY symbol",  # noqa: S608
            symbols or [],
        )
        return [head for (head,) in cursor.fetchall()]


def _claim(heads: Sequence[int]) -> list[OutboxMessage]:
    """Lock these messages if unsent; returns the unsent messages of the locked symbols."""
    locked = OutboxMessage.objects.select_for_update(skip_locked=True).filter(pk__in=heads, sent_at__isnull=True)
    claimed = list(locked.order_by("symbol").values_list("symbol", flat=True))
    if not claimed:
        return []
    rows = OutboxMessage.objects.filter(sent_at__isnull=True, symbol__in=claimed).order_by("symbol", "seq")
    return list(rows[:BATCH])


def _first_of_each(batch: Sequence[OutboxMessage]) -> list[int]:
    heads = {message.symbol: message.pk for message in reversed(batch)}
    return sorted(heads.values())


def _announce(symbols: Iterable[str]) -> PublishFailed | None:
    """Announce symbols to the processes of the engine."""
    try:
        _announcer.announce(symbols)
    except (redis.RedisError, OSError) as error:
        return _failure(error)
    return None


def _send(batch: Sequence[OutboxMessage]) -> PublishFailed | None:
    """Send messages in order: to Redis, or embedded to the hub of this process.

    `signals:{symbol}` is for other services: publish/subscribe ignores database numbers, so that channel is shared by
    all databases of the server and anyone may publish to it. The processes of the engine get announcements instead.
    """
    if settings.EMBEDDED:
        for message in batch:
            hub.publish(message.symbol, message.seq, message.payload)
        return None
    try:
        pipeline = _client().pipeline(transaction=False)
        for message in batch:
            pipeline.publish(channel_of(message.symbol), message.payload)
        pipeline.execute()
    except (redis.RedisError, OSError) as error:
        return _failure(error)
    return None


def _failure(error: Exception) -> PublishFailed:
    return PublishFailed(f"{type(error).__name__}: {error}")


def _client() -> Any:
    """Redis client with one connection pool per process and server."""
    url = settings.REDIS_URL
    if url not in _clients:
        _clients[url] = redis.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS, retry_on_timeout=False
        )
    return _clients[url]
