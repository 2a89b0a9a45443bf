"""Protocol of `/ws/signals`: frames of the server and messages of clients. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from websockets.frames import Frame, Opcode

BAD_MESSAGE = 4400
NOT_AUTHENTICATED = 4401
NOT_ALLOWED = 4403
TOO_SLOW = 4408
TOO_MANY = 4429
TRY_LATER = 1013
"""Close codes."""

WRITE_READY = "signals.write_ready"
"""Extension of the ASGI scope by a server that writes ready frames: bytes to whether they were written."""
MAX_FIRST_MESSAGE_BYTES = 1024
MAX_MESSAGE_BYTES = 64 * 1024
MAX_SYMBOLS = 1000
MAX_SEQ = 2**63 - 1


class BadMessage(Exception):
    """Invalid message: the connection is closed with 4400."""


class InvalidField(Exception):
    """Message with an invalid field: an error frame is sent, the connection stays open."""


@dataclass(frozen=True)
class Message:
    """Validated message of a client."""

    type: str
    symbols: tuple[str, ...] = ()
    after: Mapping[str, int] = field(default_factory=dict)
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Frame to send: text, bytes on the wire, and symbol and seq if it is a signal."""

    text: str
    ready: bytes
    symbol: str = ""
    seq: int = 0

    @classmethod
    def of(cls, text: str, symbol: str = "", seq: int = 0) -> Self:
        r"""Encode a text as one unmasked, uncompressed websocket frame (RFC 6455, 5.2).

        >>> Outgoing.of("hi").ready
        b'\x81\x02hi'
        """
        return cls(text, Frame(Opcode.TEXT, text.encode()).serialize(mask=False), symbol, seq)


def parse(text: str | None, longest: int = MAX_MESSAGE_BYTES) -> Message:
    """Parse one message.

    Raises
    ------
    BadMessage
        If it is binary, not JSON, not an object, or of an unknown type.
    InvalidField
        If a field is missing or of the wrong form.

    Examples
    --------
    >>> parse('{"type": "subscribe", "symbols": ["BTCUSDT"], "after": {"BTCUSDT": 7}}').after
    {'BTCUSDT': 7}
    """
    if text is None:
        raise BadMessage("messages are JSON text")
    if len(text) > longest or len(text.encode("utf-8", "surrogatepass")) > longest:
        raise BadMessage(f"a message is at most {longest} bytes here")
    try:
        content = orjson.loads(text)
    except ValueError as error:
        raise BadMessage("not JSON") from error
    if not isinstance(content, dict):
        raise BadMessage("messages are JSON objects")
    match content.get("type"):
        case "ping":
            return Message("ping")
        case "authenticate":
            ticket = content.get("ticket")
            if not isinstance(ticket, str):
                raise BadMessage("authenticate needs a ticket")
            return Message("authenticate", ticket=ticket)
        case "subscribe":
            symbols = _symbols(content.get("symbols"))
            return Message("subscribe", symbols=symbols, after=_after(content.get("after"), symbols))
        case "unsubscribe":
            return Message("unsubscribe", symbols=_symbols(content.get("symbols")))
    raise BadMessage("type is one of authenticate, subscribe, unsubscribe, ping")


def _symbols(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(symbol, str) for symbol in value):
        raise InvalidField("symbols is a list of symbols such as BTCUSDT")
    if len(value) > MAX_SYMBOLS:
        raise InvalidField(f"symbols names at most {MAX_SYMBOLS}")
    return tuple(dict.fromkeys(value))


def _after(value: Any, symbols: Sequence[str]) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not set(value) <= set(symbols):
        raise InvalidField("after maps symbols of this message to the last seq received")
    for seq in value.values():
        if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq <= MAX_SEQ:
            raise InvalidField("a seq in after is a whole number of at least 0")
    return value


def frame(kind: str, **fields: Any) -> str:
    """Encode a frame.

    >>> frame("pong")
    '{"type":"pong"}'
    """
    return orjson.dumps({"type": kind, **fields}).decode()


def error(name: str, message: str, **fields: Any) -> str:
    """Encode an error frame."""
    return frame("error", error=name, message=message, **fields)


def signal(symbol: str, seq: int, payload: str) -> Outgoing:
    """Encode the frame of one signal around its published bytes.

    >>> signal("BTCUSDT", 7, '{"id":"x"}').text
    '{"type":"signal","symbol":"BTCUSDT","seq":7,"signal":{"id":"x"}}'
    """
    return Outgoing.of(f'{{"type":"signal","symbol":"{symbol}","seq":{seq},"signal":{payload}}}', symbol, seq)


def snapshot(payloads: Sequence[str]) -> str:
    """Encode a snapshot frame around the published bytes of its signals."""
    return f'{{"type":"snapshot","signals":[{",".join(payloads)}]}}'
