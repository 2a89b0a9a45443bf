"""Reset of rate limits for tests, in this process and in Redis."""

from django.conf import settings

from mlengine_project.access.sliding_window import window


def empty_buckets():
    """Delete the counts of the last minute."""
    window.clear()
    if settings.EMBEDDED:
        return
    from django_redis import get_redis_connection

    redis = get_redis_connection("shared")
    for name in redis.scan_iter("window:*"):
        redis.delete(name)
