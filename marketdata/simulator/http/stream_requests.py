"""Requests of websocket clients and the documented responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketdata.simulator.http.streams import Connection, StreamHub

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class InvalidRequest(Exception):
    """A message that is answered with code 2 and a reason."""


def answer_request(hub: StreamHub, connection: Connection, text: str) -> dict[str, Any]:
    """Execute the request in a message and return the response."""
    try:
        message = json.loads(text)
    except ValueError as error:
        place = f"line {getattr(error, 'lineno', 1)} column {getattr(error, 'colno', 1)}"
        return {"code": 3, "msg": f"Invalid JSON: expected value at {place}"}
    try:
        method, params = _parsed(message, len(text))
        return {"result": _execute(hub, connection, method, params), "id": message.get("id")}
    except InvalidRequest as reason:
        return {"code": 2, "msg": f"Invalid request: {reason}"}


def _parsed(message: Any, length: int) -> tuple[str, list[Any]]:
    """Method and parameters of a valid request."""
    if not isinstance(message, dict) or "method" not in message:
        raise InvalidRequest(f"missing field `method` at line 1 column {length}")
    if message["method"] not in METHODS:
        expected = ", ".join(f"`{known}`" for known in METHODS)
        raise InvalidRequest(
            f"unknown variant `{message['method']}`, expected one of {expected} at line 1 column {length}"
        )
    # The documentation requires integers, clients also send texts, and the exchange accepts both.
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise InvalidRequest("request ID must be an unsigned integer")
    params = message.get("params", [])
    if not isinstance(params, list) or not all(isinstance(param, str | bool) for param in params):
        raise InvalidRequest("params must be an array of strings")
    return message["method"], params


def _execute(hub: StreamHub, connection: Connection, method: str, params: list[Any]) -> Any:
    names = [name for name in params if isinstance(name, str)]
    match method:
        case "SUBSCRIBE" if len({*connection.streams, *names}) > hub.limits.streams_per_connection:
            raise InvalidRequest("too many parameters")
        case "SUBSCRIBE":
            hub.subscribe(connection, names)
        case "UNSUBSCRIBE":
            hub.unsubscribe(connection, [name for name in names if name in connection.streams])
        case "LIST_SUBSCRIPTIONS":
            return list(connection.streams)
        case "GET_PROPERTY":
            return connection.combined
        case "SET_PROPERTY":
            connection.combined = bool(params[-1]) if params else connection.combined
    return None
