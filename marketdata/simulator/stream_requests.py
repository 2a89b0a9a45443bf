"""What a client may say on a websocket, and the documented answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketdata.simulator.streams import Connection, StreamHub

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


def answer_request(hub: StreamHub, connection: Connection, text: str) -> dict[str, Any]:
    """Do what a message asks for and return the answer to it."""
    try:
        asked = json.loads(text)
    except ValueError as error:
        place = f"line {getattr(error, 'lineno', 1)} column {getattr(error, 'colno', 1)}"
        return {"code": 3, "msg": f"Invalid JSON: expected value at {place}"}
    if not isinstance(asked, dict) or "method" not in asked:
        return _invalid("missing field `method` at line 1 column " + str(len(text)))
    method, request_id, params = asked["method"], asked.get("id"), asked.get("params", [])
    if method not in METHODS:
        expected = ", ".join(f"`{known}`" for known in METHODS)
        return _invalid(f"unknown variant `{method}`, expected one of {expected} at line 1 column {len(text)}")
    # python-binance sends text ids where the documentation asks for integers; the exchange takes both.
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, int | str)):
        return _invalid("request ID must be an unsigned integer")
    if not isinstance(params, list) or not all(isinstance(stream, str | bool) for stream in params):
        return _invalid("params must be an array of strings")
    names = {name for name in params if isinstance(name, str)}
    if method == "SUBSCRIBE" and len({*connection.streams} | names) > hub.limits.streams_per_connection:
        return _invalid("too many parameters") | {"id": request_id}
    return {"result": _obey(hub, connection, method, params), "id": request_id}


def _obey(hub: StreamHub, connection: Connection, method: str, params: list[Any]) -> Any:
    names = [name for name in params if isinstance(name, str)]
    match method:
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


def _invalid(reason: str) -> dict[str, Any]:
    return {"code": 2, "msg": f"Invalid request: {reason}"}
