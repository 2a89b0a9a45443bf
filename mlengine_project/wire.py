"""JSON in and out, strictly: what is not JSON is refused, and no answer ever holds NaN or Infinity."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from django.conf import settings
from django.http import RawPostDataException
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from mlengine_project.errors import PayloadTooLarge

DEEPEST = 32
"""Nesting a request may have; none of ours needs more than three levels."""
LONGEST_MEDIA_TYPE = 256


def read_json(body: bytes) -> Any:
    """Parse a request body: strict UTF-8, finite numbers, no lone surrogates, no NUL, bounded depth.

    >>> read_json(b'{"horizon": 6}')
    {'horizon': 6}
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError("The body is not valid JSON.") from error
    if body.count(b"[") + body.count(b"{") > DEEPEST and depth_of(value) > DEEPEST:
        raise ParseError(f"The body is nested deeper than {DEEPEST} levels.")
    if b"\\u0000" in body and holds_nul(value):
        raise ParseError("The body holds a NUL character.")
    return value


def depth_of(value: Any) -> int:
    """Levels of nesting, counted without recursion.

    >>> depth_of({"a": [1, {"b": 2}]})
    3
    """
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            children = item.values() if isinstance(item, dict) else item
            waiting.extend((child, level + 1) for child in children)
    return deepest


def holds_nul(value: Any) -> bool:
    r"""Whether a text in it, a name included, holds the one character no database stores.

    >>> holds_nul({"symbols": ["BTC\x00"]}), holds_nul({"symbols": ["BTC"]})
    (True, False)
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and "\x00" in item:
            return True
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return False


def media_type_of(content_type: str) -> str:
    """The media type of a body in UTF-8, empty for one that is said to be otherwise or is too long to be one.

    >>> media_type_of("Application/JSON; charset=utf-8"), media_type_of("application/json; charset=utf-16")
    ('application/json', '')
    """
    if len(content_type) > LONGEST_MEDIA_TYPE:
        return ""
    media_type, parameters = parse_header_parameters(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    return media_type.lower() if charset in {"utf-8", "utf8"} else ""


def write_json(value: Any) -> bytes:
    """Render an answer: times in UTC with `Z`, decimals as strings, numbers that are none as null."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


class StrictJSONParser(BaseParser):
    """The only way into a view: JSON of at most 256 KiB."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Read no more than the limit, then parse."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(limit + 1)
        except (OSError, RawPostDataException) as error:
            raise ParseError("The body could not be read.") from error
        if len(body) > limit:
            raise PayloadTooLarge
        return read_json(body)


class PlainJSONRenderer(BaseRenderer):
    """The only way out; bytes that are JSON already pass as they are."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """One pass of orjson."""
        if data is None:
            return b""
        return data if isinstance(data, bytes) else write_json(data)


class AlwaysJSON(BaseContentNegotiation):
    """No content negotiation: an `Accept` that leaves JSON out gets JSON all the same."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser that reads this content type, or None for 415."""
        sent = media_type_of(request.content_type or "")
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first one."""
        return renderers[0], renderers[0].media_type
