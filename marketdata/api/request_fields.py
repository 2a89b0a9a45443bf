"""Strict fields of request bodies and queries, without implicit conversions.

A number is not a string, `true` is not a number, "1_000" and Arabic digits are not digits. Other apps use these fields
too.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import islice
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from marketdata import clock
from marketdata.clock import iso
from marketdata.intervals import INTERVALS

DIGITS = re.compile(r"-?[0-9]{1,18}")
ESCAPED_OFFSET = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")
PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
MAX_TIME_LENGTH = 64
MAX_NAME_LENGTH = 40
"""Maximum characters of an unknown name in an error message."""
MAX_NAMED = 20
"""Maximum unknown names in one response."""
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Accepted times; others are probably in another unit."""


class Text(serializers.CharField):
    """A JSON string."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers, which DRF would turn into text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class SymbolField(Text):
    """An exchange symbol; the service checks whether a market has it."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Exchange symbol in upper case, for example BTCUSDT.")
        super().__init__(max_length=20, trim_whitespace=False, **options)


class Choice(serializers.ChoiceField):
    """One of a closed list of words; others are refused with the list."""

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(choices, **options)
        self.error_messages["invalid_choice"] = f"Write one of {', '.join(map(str, self.choices))}."

    def to_internal_value(self, data: Any) -> str:
        """Refuse numbers and booleans, which DRF would turn into text."""
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", input=data)
        return data


class ListOf(serializers.ListField):
    """A JSON array of limited length, checked before its items."""

    def run_child_validation(self, data: Any) -> Any:
        """Check the length, then the items: each invalid item costs time and an error message."""
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().run_child_validation(data)


class IntervalField(Choice):
    """The length of a candle."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Length of a candle; longer ones are made from closed candles of 5m.")
        super().__init__(INTERVALS, **options)


class WholeNumber(serializers.IntegerField):
    """A JSON integer; in a query, plain digits."""

    def __init__(self, *, in_query: bool = False, **options: Any) -> None:
        self.in_query = in_query
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> int:
        """Refuse booleans, floats and text in a body; anything but digits in a query."""
        if self.in_query and isinstance(data, str) and DIGITS.fullmatch(data):
            return int(data)
        if self.in_query or isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": r"^([1-9][0-9]{0,11}(\.[0-9]{1,8})?|0\.[0-9]{0,7}[1-9])$"},
            {"type": "number", "minimum": 1e-08, "maximum": 10**12, "exclusiveMaximum": True},
        ]
    }
)
class PriceField(serializers.Field):
    """A positive price as a decimal string or a number; responses have 8 places."""

    default_error_messages = {
        "invalid": 'A price is a positive number, for example 67123.45 or "67123.45000000".',
        "too_large": "A price has at most 12 digits before the point.",
    }

    def to_internal_value(self, data: Any) -> Decimal:
        """Parse the exact decimal, rounded once to 8 places."""
        if isinstance(data, bool) or not isinstance(data, int | float | str):
            self.fail("invalid")
        text = data if isinstance(data, str) else repr(data)
        if not PRICE.fullmatch(text):
            self.fail("invalid")
        try:
            price = Decimal(text).quantize(Decimal("1e-8"))
        except InvalidOperation:
            self.fail("too_large")
        if price <= 0:
            self.fail("invalid")
        if price >= Decimal(10) ** 12:
            self.fail("too_large")
        return price

    def to_representation(self, value: Decimal) -> str:
        """Decimal text with 8 places."""
        return f"{value:.8f}"


@extend_schema_field({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "description": "ms"}]})
class Instant(serializers.Field):
    """A time in ISO 8601 (UTC without a zone) or in milliseconds since 1970."""

    default_error_messages = {
        "invalid": "A time is ISO 8601 such as 2024-01-01T00:00:00Z, or milliseconds since 1970.",
        "out_of_range": "The time is outside 2000 to 2200; milliseconds are expected, not seconds or microseconds.",
    }

    def to_internal_value(self, data: Any) -> datetime:
        """An aware UTC datetime."""
        if not isinstance(data, str) or not data.isascii() or len(data) > MAX_TIME_LENGTH:
            self.fail("invalid")
        try:
            if DIGITS.fullmatch(data):
                instant = clock.to_datetime(int(data))
            else:
                # A `+` of an offset that was not escaped in the URL arrives as a space.
                instant = datetime.fromisoformat(ESCAPED_OFFSET.sub("+", data))
        except (ValueError, OverflowError):
            self.fail("invalid")
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
        try:
            instant = instant.astimezone(UTC)
        except OverflowError:
            self.fail("out_of_range")
        if not EARLIEST <= instant <= LATEST:
            self.fail("out_of_range")
        return instant

    def to_representation(self, value: datetime) -> str:
        """ISO 8601 in UTC with `Z`."""
        return iso(value)


@extend_schema_field(OpenApiTypes.BOOL)
class YesNo(serializers.Field):
    """`true` or `false` in a query."""

    default_error_messages = {"invalid": "Write true or false."}

    def to_internal_value(self, data: Any) -> bool:
        """Accept `true`, `false`, `1` and `0`."""
        words = {"true": True, "false": False, "1": True, "0": False}
        if data not in words:
            self.fail("invalid")
        return words[data]

    def to_representation(self, value: bool) -> bool:
        """JSON boolean."""
        return value


class Body(serializers.Serializer):
    """A JSON object with the declared fields and no other."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown fields by name."""
        if isinstance(data, Mapping) and (problems := unknown_names(data, self.fields)):
            raise serializers.ValidationError(problems)
        return super().to_internal_value(data)


class Query(serializers.Serializer):
    """Query parameters of one path.

    `from` and `to` are added in `get_fields`, since `from` is a keyword.
    """

    spans_time = False

    def get_fields(self) -> dict[str, serializers.Field]:
        """The declared fields, and the time span if the query has one."""
        fields: dict[str, serializers.Field] = super().get_fields()
        if self.spans_time:
            fields["from"] = Instant(required=False, help_text="From this candle's open on, inclusive. ISO or ms.")
            fields["to"] = Instant(required=False, help_text="Up to this candle's open, exclusive. ISO or ms.")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a span that ends before it begins."""
        if "from" in attrs and "to" in attrs and attrs["from"] > attrs["to"]:
            raise serializers.ValidationError({"from": ["Must not be after `to`."]})
        return attrs

    @classmethod
    def of(cls, request: Request) -> dict[str, Any]:
        """Validate the query of a request; other names, as those of paging, are not read."""
        given = request.query_params.dict()
        return dict(_validated(cls, tuple((name, given[name]) for name in query_names(cls) if name in given)))


@lru_cache(maxsize=64)
def query_names(query: type[Query]) -> tuple[str, ...]:
    """Names that a query declares, remembered since the fields are copied each time they are asked for."""
    return tuple(query().fields)


@lru_cache(maxsize=512)
def _validated(query: type[Query], given: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Valid values of a query, which depend on nothing but its texts; errors are not kept."""
    found = query(data=dict(given))
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def unknown_names(given: Iterable[str], known: Collection[str]) -> dict[str, list[str]]:
    """Error messages for unknown names, at most `MAX_NAMED`; empty if all are known.

    >>> unknown_names(["symbl", "horizon"], ["symbol", "horizon"])
    {'symbl': ['Not a name of this request; it takes horizon, symbol.']}
    """
    allowed = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    unknown = islice((name for name in given if name not in known), MAX_NAMED)
    return {name[:MAX_NAME_LENGTH]: [f"Not a name of this request; {allowed}."] for name in unknown}
