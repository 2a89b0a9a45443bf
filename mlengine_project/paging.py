"""Cursor paging for every list: {"next", "previous", "results"}, `limit` at most 1000."""

from typing import Any

from django.core import signing
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

MOST = 1000
USUAL = 100
NEWEST_PAGE = Cursor(offset=0, reverse=True, position=None)
"""The last page of an ascending list: its newest rows, oldest of them first."""


class SignedCursorPagination(CursorPagination):
    """Keyset pages whose cursors are signed for their path: an edited or foreign one is a 400.

    The order is the queryset's own. A view that sets `starts_at_newest` gets the last page first.
    """

    page_size = USUAL
    max_page_size = MOST
    page_size_query_param = "limit"
    page_size_query_description = f"Rows on a page, 1 to {MOST}; {USUAL} when left out."
    cursor_query_description = "The place in the list, taken from `next` or `previous` of an answer."
    offset_cutoff = 100_000
    path = ""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """One page of rows."""
        self.path = request.path
        self.starts_at_newest = getattr(view, "starts_at_newest", False)
        try:
            return super().paginate_queryset(queryset, request, view) or []
        except (DjangoValidationError, ValueError, OverflowError) as error:
            raise _bad_cursor() from error

    def get_page_size(self, request: Request) -> int:
        """`limit`, strictly."""
        raw = request.query_params.get("limit")
        return USUAL if raw is None else limit_of(raw)

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        """The queryset's order, else the model's."""
        return tuple(str(name) for name in queryset.query.order_by or queryset.model._meta.ordering or ("pk",))  # noqa: SLF001

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Read the signed cursor."""
        encoded = request.query_params.get("cursor")
        if encoded is None:
            return NEWEST_PAGE if self.starts_at_newest else None
        try:
            offset, reverse, position = signing.loads(encoded, salt=self._salt)
        except (signing.BadSignature, ValueError, TypeError) as error:
            raise _bad_cursor() from error
        return Cursor(offset=offset, reverse=reverse, position=position)

    def encode_cursor(self, cursor: Cursor) -> str:
        """A link to the page at a cursor."""
        encoded = signing.dumps([cursor.offset, cursor.reverse, cursor.position], salt=self._salt)
        return str(replace_query_param(str(self.base_url), "cursor", encoded))

    @property
    def _salt(self) -> str:
        return f"cursor:{self.path}"


def limit_of(raw: str) -> int:
    """A `limit` between 1 and 1000 in plain digits.

    >>> limit_of("250")
    250
    """
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 4 and 1 <= int(raw) <= MOST):
        raise ValidationError({"limit": [f"Must be a whole number from 1 to {MOST}."]})
    return int(raw)


def _bad_cursor() -> ValidationError:
    return ValidationError({"cursor": ["Not a cursor of this list; take it from `next` or `previous`."]})
