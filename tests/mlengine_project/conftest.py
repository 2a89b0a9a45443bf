"""Clients of the REST API, one per scope."""

import pytest
from django.test import Client

from marketdata.process_state import process_state
from mlengine_project.access import services
from mlengine_project.operations.monitoring.health import Readiness
from tests.mlengine_project.buckets import empty_buckets


@pytest.fixture
def anonymous_client(db, settings):
    """A client without a key, with empty caches and rate limits."""
    settings.ALLOWED_HOSTS = ["testserver", "localhost"]
    services.clear_verified()
    empty_buckets()
    process_state.drop(Readiness)
    return Client(raise_request_exception=False)


@pytest.fixture
def caller(anonymous_client):
    """Create a client with a key of a scope: `caller("read")`."""

    def with_scope(scope="admin"):
        _, secret = services.create_key(f"{scope} caller", scope)
        client = Client(raise_request_exception=False, headers={"X-API-Key": secret})
        client.secret = secret
        return client

    return with_scope
