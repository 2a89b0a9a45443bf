"""Wrong keys, tickets and tokens: one count for each address over REST, metrics and websockets."""

import pytest
from channels.db import database_sync_to_async as sync_to_async

from mlengine_project.access import services
from mlengine_project.push import signal_consumer
from tests.mlengine_project.buckets import empty_buckets
from tests.websockets import WebsocketCommunicator

ADDRESS = "203.0.113.5"
LIMIT = 6
"""Instead of 100 a minute, which `test_keys` and `test_permissions` use."""


@pytest.fixture(autouse=True)
def empty_limits(monkeypatch):
    monkeypatch.setattr(services, "WRONG_KEYS_PER_MINUTE", LIMIT)
    services.clear_verified()
    empty_buckets()


def socket_of(address, *headers):
    application = WebsocketCommunicator(signal_consumer(), "/ws/signals", headers=[(b"host", b"localhost"), *headers])
    application.scope["client"] = (address, 5) if address else None
    return application


async def close_code(address, *headers, ticket=None):
    client = socket_of(address, *headers)
    assert (await client.connect())[0]
    if ticket is not None:
        await client.send_to(text_data=f'{{"type": "authenticate", "ticket": "{ticket}"}}')
    frame = await client.receive_output(3)
    return frame.get("code", frame.get("text"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", [ADDRESS, None])
async def test_wrong_keys_on_websockets_are_limited_and_a_valid_key_is_not(address):
    _, secret = await sync_to_async(services.create_key)("backend", "read")
    codes = [await close_code(address, (b"x-api-key", b"guess %d" % n)) for n in range(LIMIT + 2)]
    assert codes == [4401] * LIMIT + [4429] * 2
    assert "authenticated" in await close_code(address, (b"x-api-key", secret.encode()))
    assert await close_code("198.51.100.7", (b"x-api-key", b"guess")) == 4401


@pytest.mark.django_db(transaction=True)
async def test_wrong_tickets_are_counted_and_an_absent_or_empty_key_is_not():
    for _ in range(LIMIT + 5):
        assert await close_code(ADDRESS, (b"x-api-key", b"")) == 4401
    codes = [await close_code(ADDRESS, ticket=f"guess {n}") for n in range(LIMIT + 1)]
    assert codes == [4401] * LIMIT + [4429]


@pytest.mark.django_db(transaction=True)
async def test_websockets_and_rest_count_together(client, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    for n in range(LIMIT):
        assert await close_code(ADDRESS, (b"x-api-key", b"guess %d" % n)) == 4401
    refused = await sync_to_async(client.post)("/ws-tickets", headers={"X-API-Key": "guess"}, REMOTE_ADDR=ADDRESS)
    assert refused.status_code == 429


@pytest.mark.django_db
def test_an_ipv6_subscriber_is_one_address(client, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    last = [
        client.get("/markets", headers={"X-API-Key": "guess"}, REMOTE_ADDR=f"2001:db8:1:2::{n:x}").status_code
        for n in range(LIMIT + 1)
    ]
    assert last[-2:] == [401, 429]
    assert client.get("/markets", headers={"X-API-Key": "guess"}, REMOTE_ADDR="2001:db8:1:3::1").status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "head"])
def test_wrong_metrics_tokens_are_limited_and_the_valid_one_is_not(client, settings, method):
    settings.METRICS_TOKEN = "a token for prometheus"
    send_request = getattr(client, method)
    found = [
        send_request("/metrics", headers={"Authorization": f"Bearer guess {n}"}).status_code for n in range(LIMIT + 2)
    ]
    assert found == [401] * LIMIT + [429] * 2
    assert client.get("/metrics", headers={"Authorization": "Bearer a token for prometheus"}).status_code == 200
    _, secret = services.create_key("scraper", "read")
    assert client.get("/metrics", headers={"Authorization": "Bearer x", "X-API-Key": secret}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), [("post", "/ws-tickets"), ("get", "/metrics"), ("get", "/jobs/1")])
def test_wrong_keys_are_counted_on_every_path(client, settings, method, path):
    settings.ALLOWED_HOSTS = ["testserver"]
    found = [getattr(client, method)(path, headers={"X-API-Key": f"guess {n}"}).status_code for n in range(LIMIT + 1)]
    assert found == [401] * LIMIT + [429]
