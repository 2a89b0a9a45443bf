"""Empty buckets for tests: in this process and, where one is used, in Redis."""

from django.conf import settings

from mlengine_project.access.windows import window


def empty_buckets():
    """As if the last minute had been quiet."""
    window.clear()
    if settings.EMBEDDED:
        return
    from django_redis import get_redis_connection

    redis = get_redis_connection("shared")
    for name in redis.scan_iter("window:*"):
        redis.delete(name)
