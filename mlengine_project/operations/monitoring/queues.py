"""Number of waiting tasks in each queue, in Redis or in this process."""

from django.conf import settings
from redis import Redis, RedisError

QUEUES = ("live", "default", "training")


def queue_depths() -> dict[str, int]:
    """Waiting tasks by queue; empty when the broker is unavailable."""
    return _in_process() if settings.EMBEDDED else _in_redis()


def _in_redis() -> dict[str, int]:
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as broker:
            return {queue: int(broker.llen(prefix + queue)) for queue in QUEUES}  # type: ignore[arg-type]
    except (RedisError, OSError):
        return {}


def _in_process() -> dict[str, int]:
    from kombu.transport.memory import Channel

    return {queue: Channel.queues[queue].qsize() if queue in Channel.queues else 0 for queue in QUEUES}
