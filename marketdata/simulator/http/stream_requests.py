"""Requests of websocket clients, validated as the exchange documents it."""

from __future__ import annotations

import json
from dataclasses import dataclass

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class InvalidRequest(Exception):
    """A message that is answered with an error code and a reason."""

    def __init__(self, reason: str, code: int = 2) -> None:
        kind = "request" if code == 2 else "JSON"
        super().__init__(f"Invalid {kind}: {reason}")
        self.code = code


@dataclass(frozen=True)
class StreamRequest:
    """A valid request of a websocket client."""

    method: str
    params: list[str | bool]
    id: int | str | None

    @property
    def streams(self) -> list[str]:
        """The named streams."""
        return [param for param in self.params if isinstance(param, str)]


def parse_request(text: str) -> StreamRequest:
    """The request in a message.

    Raises
    ------
    InvalidRequest
        With the code and the reason of the exchange.
    """
    try:
        message = json.loads(text)
    except ValueError as error:
        place = f"line {getattr(error, 'lineno', 1)} column {getattr(error, 'colno', 1)}"
        raise InvalidRequest(f"expected value at {place}", code=3) from error
    if not isinstance(message, dict) or "method" not in message:
        raise InvalidRequest(f"missing field `method` at line 1 column {len(text)}")
    if message["method"] not in METHODS:
        expected = ", ".join(f"`{known}`" for known in METHODS)
        raise InvalidRequest(
            f"unknown variant `{message['method']}`, expected one of {expected} at line 1 column {len(text)}"
        )
    # The documentation requires integers, clients also send texts, and the exchange accepts both.
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise InvalidRequest("request ID must be an unsigned integer")
    params = message.get("params", [])
    if not isinstance(params, list) or not all(isinstance(param, str | bool) for param in params):
        raise InvalidRequest("params must be an array of strings")
    return StreamRequest(message["method"], params, request_id)
