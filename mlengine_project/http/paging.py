"""Cursor paging for every list: {"next", "previous", "results"}, `limit` at most 1000.

A page is bounded by a row, not by a count: the cursor holds the row's whole sort key, which ends in the primary key
and so is unique. New rows, or another `limit`, do not affect the rows of later pages.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from marketdata.storage.selections import Selection, reversed_column, rows_after
from marketdata.storage.text_rows import Columns
from mlengine_project.http.json_codec import write_json

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
NAMES = ("limit", "cursor")
"""Query names of every list."""

Row = Any
Key = list[int | str]
Read = Callable[[Key | None, bool, int], list[Row]]
"""Reads at most so many rows after a key, or before it in the opposite order; without a key from the end."""


@dataclass(frozen=True)
class Cursor:
    """A position in a list: the rows after `key`, or before it; None is the end of the list."""

    key: Key | None
    backwards: bool = False


class SignedCursorPagination(BasePagination):
    """Keyset pagination with cursors signed for path and order; an invalid cursor is a 400.

    The order is the queryset's own, made total by the primary key; its columns are never null. A view that sets
    `starts_at_newest` gets the last page first.
    """

    _links: tuple[str | None, str | None] = (None, None)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Row]:
        """One page of rows."""
        order = total_order(queryset)
        return self.paginate_reads(keyset_reader(queryset, order), order, request, view)

    def paginate_texts(self, selection: Selection, columns: Columns, request: Request, view: Any = None) -> list[Row]:
        """One page of rows with the values of some columns, among them those of the order."""
        model, order = selection.model, selection.order
        places = [columns.names.index(name.lstrip("-")) for name in order]

        def key(row: Row) -> Key:
            return written_key(typed_key(model, order, [row[place] for place in places]))

        def read(given: Key | None, backwards: bool, n_rows: int) -> list[Row]:
            return selection.page(columns, given and typed_key(model, order, given), backwards, n_rows)

        return self.paginate_reads(read, order, request, view, key)

    def paginate_reads(
        self,
        read: Read,
        order: Sequence[str],
        request: Request,
        view: Any = None,
        key: Callable[[Row], Key] | None = None,
    ) -> list[Row]:
        """One page of rows that a function reads, in an order that is total; a key is of attributes if not given."""
        limit = requested_limit(request)
        cursor = self._cursor(request, order, getattr(view, "starts_at_newest", False))
        rows = read(cursor.key, cursor.backwards, limit + 1)
        return self._page(request, order, cursor, rows, limit, key or (lambda row: key_of(row, order)))

    def paginate_rows(
        self, rows: Sequence[Mapping[str, Any]], names: Sequence[str], request: Request
    ) -> list[Mapping[str, Any]]:
        """One page of computed rows, sorted by the named values, which are unique."""
        limit = requested_limit(request, MAX_LIMIT)
        cursor = self._cursor(request, names, starts_at_newest=False)

        def key(row: Mapping[str, Any]) -> Key:
            return [row[name] for name in names]

        ordered = sorted(rows, key=key)
        try:
            if cursor.key is None:
                found = ordered
            elif cursor.backwards:
                found = ordered[: bisect_left(ordered, cursor.key, key=key)][::-1]
            else:
                found = ordered[bisect_right(ordered, cursor.key, key=key) :]
        except TypeError as error:
            raise invalid_cursor() from error
        return self._page(request, names, cursor, found[: limit + 1], limit, key)

    def get_paginated_response(self, data: Any) -> Response:
        """The page with its links."""
        following, preceding = self._links
        return Response({"next": following, "previous": preceding, "results": data})

    def response_of_json(self, rows: bytes, **more: Any) -> Response:
        """The page with its links, of rows that are JSON already, separated by commas."""
        following, preceding = self._links
        links = write_json({"next": following, "previous": preceding})
        end = b"," + write_json(more)[1:] if more else b"}"
        return Response(b'%b,"results":[%b]%b' % (links[:-1], rows, end))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """OpenAPI schema of a page."""
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "description": "Address of the page that follows; null on the last one."},
                "previous": {**link, "description": "Address of the page before; null on the first one."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """OpenAPI parameters `limit` and `cursor`."""
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        return [
            {
                "name": "limit",
                "required": False,
                "in": "query",
                "description": f"Rows on a page, 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} when left out.",
                "schema": limit,
            },
            {
                "name": "cursor",
                "required": False,
                "in": "query",
                "description": "The place in the list, taken from `next` or `previous` of an answer.",
                "schema": {"type": "string", "minLength": 1},
            },
        ]

    def _cursor(self, request: Request, order: Sequence[str], starts_at_newest: bool) -> Cursor:
        encoded = request.query_params.get("cursor")
        if encoded is None:
            return Cursor(None, backwards=starts_at_newest)
        try:
            backwards, key = signing.Signer(salt=_salt(request, order)).unsign_object(encoded)
        except (signing.BadSignature, ValueError, TypeError) as error:
            raise invalid_cursor() from error
        return Cursor(list(key), bool(backwards))

    def _page(
        self,
        request: Request,
        order: Sequence[str],
        cursor: Cursor,
        rows: list[Row],
        limit: int,
        key: Callable[[Row], Key],
    ) -> list[Row]:
        """Cut the extra row that shows that there are more, restore the order and build the links."""
        has_more, rows = len(rows) > limit, rows[:limit]
        if cursor.backwards:
            rows.reverse()
        # The row of a cursor lies on the other side of it.
        has_next = cursor.key is not None if cursor.backwards else has_more
        has_previous = has_more if cursor.backwards else cursor.key is not None
        self._links = (
            _link(request, order, Cursor(key(rows[-1]))) if rows and has_next else None,
            _link(request, order, Cursor(key(rows[0]), backwards=True)) if rows and has_previous else None,
        )
        return rows


def keyset_reader(queryset: QuerySet[Any], order: Sequence[str]) -> Read:
    """Function that loads the rows of a queryset after or before a key."""

    def read(key: Key | None, backwards: bool, n_rows: int) -> list[Row]:
        names = [reversed_column(name) for name in order] if backwards else order
        rows = queryset
        if key is not None:
            rows = rows.filter(rows_after(names, typed_key(queryset.model, order, key)))
        return list(rows.order_by(*names)[:n_rows])

    return read


def total_order(queryset: QuerySet[Any]) -> list[str]:
    """Order of a queryset or its model, with the primary key last."""
    meta = queryset.model._meta  # noqa: SLF001
    names = [str(name) for name in queryset.query.order_by or meta.ordering]
    own = meta.pk.name
    return names if names and names[-1].lstrip("-") in {"pk", own} else [*names, own]


def key_of(row: Row, order: Sequence[str]) -> Key:
    """The sort key of a row, as stored in a cursor."""
    return written_key(getattr(row, name.lstrip("-")) for name in order)


def written_key(values: Iterable[object]) -> Key:
    """The values of a key, as stored in a cursor."""
    return [
        value.isoformat() if isinstance(value, date) else value if isinstance(value, int | str) else str(value)
        for value in values
    ]


def typed_key(model: type[Model], order: Sequence[str], key: Sequence[Any]) -> list[Any]:
    """The values of a cursor, converted to their columns' types."""
    meta = model._meta  # noqa: SLF001
    names = [meta.pk.name if name.lstrip("-") == "pk" else name.lstrip("-") for name in order]
    try:
        columns: list[Any] = [meta.get_field(name) for name in names]
        found = [column.to_python(value) for column, value in zip(columns, key, strict=True)]
    except (DjangoValidationError, ValueError, TypeError, OverflowError) as error:
        raise invalid_cursor() from error
    if any(value is None for value in found):
        raise invalid_cursor()
    return found


def requested_limit(request: Request, default: int = DEFAULT_LIMIT) -> int:
    """The validated `limit` of a query."""
    raw = request.query_params.get("limit")
    return default if raw is None else limit_of(raw)


def limit_of(raw: str) -> int:
    """A `limit` between 1 and 1000 in plain digits.

    >>> limit_of("250")
    250
    """
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 4 and 1 <= int(raw) <= MAX_LIMIT):
        raise ValidationError({"limit": [f"Must be a whole number from 1 to {MAX_LIMIT}."]})
    return int(raw)


def invalid_cursor() -> ValidationError:
    """The error for a cursor that is not of this list."""
    return ValidationError({"cursor": ["Not a cursor of this list; take it from `next` or `previous`."]})


def _link(request: Request, order: Sequence[str], cursor: Cursor) -> str:
    # Without a time, so that an unchanged page has an unchanged ETag.
    key = tuple(cursor.key or ())
    return _signed_link(request.build_absolute_uri(), _salt(request, order), settings.SECRET_KEY, cursor.backwards, key)


@lru_cache(maxsize=256)
def _signed_link(address: str, salt: str, secret: str, backwards: bool, key: tuple[int | str, ...]) -> str:
    """Address of a page, kept since most callers ask for the same newest one."""
    encoded = signing.Signer(key=secret, salt=salt).sign_object([backwards, key])
    return str(replace_query_param(address, "cursor", encoded))


def _salt(request: Request, order: Sequence[str]) -> str:
    return f"cursor:{request.path}:{','.join(order)}"
