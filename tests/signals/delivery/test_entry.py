"""Authentication of the websocket: keys, tickets, sessions, origins."""

from types import SimpleNamespace

import pytest
from channels.db import database_sync_to_async as sync_to_async
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore

from signals.delivery import websocket
from tests.signals.sockets import (
    authenticated_client,
    connect,
    receive_close,
    receive_frame,
    send_message,
    two_markets,  # noqa: F401  # a fixture
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_key_in_the_header_authenticates_and_a_wrong_one_closes():
    await (await authenticated_client()).disconnect()
    client = connect([(b"x-api-key", b"bad-key")])
    assert (await client.connect())[0]
    assert await receive_close(client) == 4401


async def test_a_ticket_authenticates_once_and_only_from_allowed_origins():
    client = connect([(b"origin", b"http://localhost:3000")])
    assert (await client.connect())[0]
    await send_message(client, type="authenticate", ticket="one-use")
    assert await receive_frame(client) == {"type": "authenticated"}
    await client.disconnect()
    for headers, ticket, code in (
        ([(b"origin", b"http://evil.example")], None, 4403),
        ([(b"origin", b"http://localhost:3000")], "spent", 4401),
        ([], "x" * 2000, 4400),
    ):
        client = connect(headers)
        assert (await client.connect())[0]
        if ticket is not None:
            await send_message(client, type="authenticate", ticket=ticket)
        assert await receive_close(client) == code


async def test_a_ticket_without_an_origin_is_accepted():
    client = connect()
    assert (await client.connect())[0]
    await send_message(client, type="authenticate", ticket="one-use")
    assert await receive_frame(client) == {"type": "authenticated"}
    await client.disconnect()


async def test_a_session_authenticates_only_with_the_same_origin(monkeypatch):
    monkeypatch.setattr(websocket, "AUTHENTICATE_SECONDS", 0.05)
    user = SimpleNamespace(is_authenticated=True)
    own = connect([(b"origin", b"http://localhost:8000")], user)
    assert (await own.connect())[0]
    assert await receive_frame(own) == {"type": "authenticated"}
    await own.disconnect()
    for headers, code in (([], 4401), ([(b"origin", b"http://evil.example")], 4403)):
        client = connect(headers, user)
        assert (await client.connect())[0]
        assert await receive_close(client) == code


def change_password(user):
    """Change the password as another process would."""
    stored = get_user_model().objects.get(pk=user.pk)
    stored.set_password("another long secret")
    stored.save()


@pytest.mark.parametrize("ending", ["signed out", "password changed"])
async def test_a_session_that_ends_closes_its_connection(monkeypatch, ending):
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
    user = await sync_to_async(get_user_model().objects.create_user)("ann", password="a long secret")
    session = SessionStore()
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    await sync_to_async(session.create)()
    client = connect([(b"origin", b"http://localhost:8000")], user)
    client.scope["session"] = session
    assert (await client.connect())[0]
    assert await receive_frame(client) == {"type": "authenticated"}
    assert [(await receive_frame(client))["type"] for _ in range(3)] == ["heartbeat"] * 3
    await (sync_to_async(session.flush)() if ending == "signed out" else sync_to_async(change_password)(user))
    while (frame := await receive_frame(client))["type"] == "heartbeat":
        pass
    assert frame["error"] == "NotAuthenticated"
    assert await receive_close(client) == 4401


async def test_a_client_that_does_not_authenticate_in_time_is_closed(monkeypatch):
    monkeypatch.setattr(websocket, "AUTHENTICATE_SECONDS", 0.05)
    client = connect()
    assert (await client.connect())[0]
    assert await receive_close(client) == 4401
