"""Redis transport of the broker whose channels survive a lost connection.

After a connection is lost Celery collects it and then closes it again. Collecting takes the address away
from the transport, and a channel that still holds unacknowledged messages reads it: kombu raises
`AttributeError: 'NoneType' object has no attribute 'hostname'` (celery/kombu#582), which nothing above
expects, so the whole worker ends with "Unrecoverable error". Acknowledging a task that ends after the
connection was lost takes the same path.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError


class Channel(kombu_redis.Channel):
    """A channel that reports a lost connection as a connection error."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Connection parameters, read before any connection is opened."""
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection this channel belonged to was lost")
        return dict(super()._connparams(asynchronous=asynchronous))


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with these channels."""

    Channel = Channel


def install() -> None:
    """Register this transport for `redis://` and `rediss://` in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
