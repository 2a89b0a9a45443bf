"""Origin and session checks of a websocket handshake."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.db import DatabaseError
from django.utils.crypto import constant_time_compare

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def header_values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """All values of one header.

    >>> header_values({"headers": [(b"origin", b"http://a")]}, b"origin")
    ['http://a']
    """
    return [value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]


def own_origin(scope: Mapping[str, Any], origin: str) -> bool:
    """Whether the origin has the same host and port as the request.

    >>> own_origin({"scheme": "ws", "headers": [(b"host", b"localhost:8000")]}, "http://localhost:8000")
    True
    >>> own_origin({"scheme": "ws", "headers": [(b"host", b"localhost:8000")]}, "http://evil.example")
    False
    """
    hosts = header_values(scope, b"host")
    if len(hosts) != 1:
        return False
    try:
        requested = urlsplit(f"//{hosts[0]}")
        sender = urlsplit(origin)
        requested_port = requested.port or _PORTS.get(str(scope.get("scheme", "ws")), 80)
        sender_port = sender.port or _PORTS.get(sender.scheme, 80)
    except ValueError:
        return False
    same_host = sender.hostname == requested.hostname and sender_port == requested_port
    return sender.scheme in {"http", "https"} and same_host


def session_is_valid(scope: Mapping[str, Any]) -> bool:
    """Whether the session is still valid for its user; True if the database is unavailable."""
    session, user = scope.get("session"), scope.get("user")
    if session is None or user is None:
        return False
    try:
        if session.session_key is None or not session.exists(session.session_key):
            return False
        stored = get_user_model().objects.filter(pk=user.pk, is_active=True).first()
        opened_with = session.get(HASH_SESSION_KEY, "")
        return stored is not None and constant_time_compare(opened_with, stored.get_session_auth_hash())
    except DatabaseError:
        return True
