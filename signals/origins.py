"""Where a websocket's handshake came from, and whether the session it came with still stands."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.db import DatabaseError

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def header_values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """Values of one header, as often as it was sent.

    >>> header_values({"headers": [(b"origin", b"http://a")]}, b"origin")
    ['http://a']
    """
    return [value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]


def own_origin(scope: Mapping[str, Any], origin: str) -> bool:
    """Whether a page of this very server opened the socket: same host and port as it was asked for.

    >>> own_origin({"scheme": "ws", "headers": [(b"host", b"localhost:8000")]}, "http://localhost:8000")
    True
    >>> own_origin({"scheme": "ws", "headers": [(b"host", b"localhost:8000")]}, "http://evil.example")
    False
    """
    hosts = header_values(scope, b"host")
    if len(hosts) != 1:
        return False
    try:
        asked = urlsplit(f"//{hosts[0]}")
        came = urlsplit(origin)
        asked_port = asked.port or _PORTS.get(str(scope.get("scheme", "ws")), 80)
        came_port = came.port or _PORTS.get(came.scheme, 80)
    except ValueError:
        return False
    return came.scheme in {"http", "https"} and came.hostname == asked.hostname and came_port == asked_port


def session_stands(scope: Mapping[str, Any]) -> bool:
    """Whether the person is still signed in and allowed; while the database is away nobody is thrown out."""
    session, user = scope.get("session"), scope.get("user")
    if session is None or user is None:
        return False
    try:
        signed_in = session.session_key is not None and session.exists(session.session_key)
        return bool(signed_in and get_user_model().objects.filter(pk=user.pk, is_active=True).exists())
    except DatabaseError:
        return True
