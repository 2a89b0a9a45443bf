"""Strict JSON codec: parser and renderer of the API, without NaN or Infinity."""

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

from mlengine_project.http.errors import PayloadTooLarge

MAX_DEPTH = 32
"""Maximum nesting of a request; valid ones have at most three levels."""
MAX_MEDIA_TYPE_CHARACTERS = 256


def read_json(body: bytes) -> Any:
    """Parse a request body: strict UTF-8, finite numbers, no lone surrogates, no NUL, bounded depth.

    >>> read_json(b'{"horizon": 6}')
    {'horizon': 6}
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError("The body is not valid JSON.") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and depth_of(value) > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if b"\\u0000" in body and contains_nul(value):
        raise ParseError("The body holds a NUL character.")
    return value


def depth_of(value: object) -> int:
    """Nesting depth, computed without recursion.

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


def contains_nul(value: object) -> bool:
    r"""Whether a text or name in a value contains NUL, which databases do not store.

    >>> contains_nul({"symbols": ["BTC\x00"]}), contains_nul({"symbols": ["BTC"]})
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
    """The media type of a UTF-8 body; empty for another charset or a too long header.

    >>> media_type_of("Application/JSON; charset=utf-8"), media_type_of("application/json; charset=utf-16")
    ('application/json', '')
    """
    if len(content_type) > MAX_MEDIA_TYPE_CHARACTERS:
        return ""
    media_type, parameters = parse_header_parameters(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    return media_type.lower() if charset in {"utf-8", "utf8"} else ""


def write_json(value: object) -> bytes:
    """Render JSON: times in UTC with `Z`, decimals as strings, NaN and Infinity as null."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


class StrictJSONParser(BaseParser):
    """DRF parser of strict JSON of at most 256 KiB."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Read up to the limit, then parse."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(limit + 1)
        except (OSError, RawPostDataException) as error:
            raise ParseError("The body could not be read.") from error
        if len(body) > limit:
            raise PayloadTooLarge
        return read_json(body)


class PlainJSONRenderer(BaseRenderer):
    """DRF renderer of JSON; bytes that are JSON already pass unchanged."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Render with orjson."""
        if data is None:
            return b""
        return data if isinstance(data, bytes) else write_json(data)


class JSONOnlyNegotiation(BaseContentNegotiation):
    """Content negotiation that always answers JSON, whatever `Accept` names."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser that reads this content type, or None for 415."""
        sent = media_type_of(request.content_type or "")
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first renderer."""
        return renderers[0], renderers[0].media_type
