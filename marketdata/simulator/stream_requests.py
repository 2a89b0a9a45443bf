"""What a client may say on a websocket, and the documented answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketdata.simulator.streams import Connection, StreamHub

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class NotObeyed(Exception):
    """A message the exchange answers with code 2 and a reason."""


def answer_request(hub: StreamHub, connection: Connection, text: str) -> dict[str, Any]:
    """Do what a message asks for and return the answer to it."""
    try:
        asked = json.loads(text)
    except ValueError as error:
        place = f"line {getattr(error, 'lineno', 1)} column {getattr(error, 'colno', 1)}"
        return {"code": 3, "msg": f"Invalid JSON: expected value at {place}"}
    try:
        method, params = _understood(asked, len(text))
        return {"result": _obey(hub, connection, method, params), "id": asked.get("id")}
    except NotObeyed as reason:
        return {"code": 2, "msg": f"Invalid request: {reason}"}


def _understood(asked: Any, length: int) -> tuple[str, list[Any]]:
    """The method and its parameters, if the message is one."""
    if not isinstance(asked, dict) or "method" not in asked:
        raise NotObeyed(f"missing field `method` at line 1 column {length}")
    if asked["method"] not in METHODS:
        expected = ", ".join(f"`{known}`" for known in METHODS)
        raise NotObeyed(f"unknown variant `{asked['method']}`, expected one of {expected} at line 1 column {length}")
    # The documentation asks for integers, clients also send texts, and the exchange takes both.
    request_id = asked.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise NotObeyed("request ID must be an unsigned integer")
    params = asked.get("params", [])
    if not isinstance(params, list) or not all(isinstance(param, str | bool) for param in params):
        raise NotObeyed("params must be an array of strings")
    return asked["method"], params


def _obey(hub: StreamHub, connection: Connection, method: str, params: list[Any]) -> Any:
    names = [name for name in params if isinstance(name, str)]
    match method:
        case "SUBSCRIBE" if len({*connection.streams, *names}) > hub.limits.streams_per_connection:
            raise NotObeyed("too many parameters")
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
