"""Fixtures of flows: a new engine, a simulated exchange with a manual clock, and shared services."""

import pytest

from marketdata.simulator import SimulatedExchange
from tests.champions import BEGIN, artifact_folder, champions, fresh_engine  # noqa: F401
from tests.conftest import use_redis


@pytest.fixture(autouse=True)
def _fresh_state(fresh_engine):  # noqa: F811
    """Reset all state of earlier tests."""


@pytest.fixture
def exchange(settings):
    """Two invented symbols, ten seconds into 2025, with a stopped clock."""
    with SimulatedExchange(["BTCUSDT", "ETHUSDT"], seed=3, speed=0, begin_at=BEGIN + 10_000) as running:
        settings.BINANCE_API_URL = running.base_url
        settings.BINANCE_STREAM_URL = running.stream_url
        yield running


@pytest.fixture
def with_redis(settings, redis_url):
    """The engine with Redis, as shared by several processes."""
    from signals.delivery import publisher

    use_redis(settings, redis_url)
    settings.CACHES = settings.CACHES | {
        "shared": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": redis_url,
            "KEY_FUNCTION": "predictions.live.cache.plain_key",
            "OPTIONS": {"SERIALIZER": "predictions.live.cache.JsonBytesSerializer"},
        }
    }
    yield redis_url
    for client in publisher._clients.values():
        client.close()
    publisher._clients.clear()


collect_ignore = ["older_installation.py"]
"""A script run by an older version."""
