"""Rows of a table as the values of its JSON, without a model instance or Django's conversion of each value."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Protocol
from uuid import UUID

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import Field, Model, QuerySet

from marketdata.clock import iso
from marketdata.decimals import decimal_text

PRICE_PLACES = 8
"""Decimals with so many places are texts in JSON, all others are numbers."""


class Columns(Protocol):
    """Values of a table's rows by name, read without model instances."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values."""

    @property
    def expressions(self) -> str:
        """SQL expressions of the values on PostgreSQL."""

    def read(self, rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query of the table, each with its values."""


@dataclass(frozen=True)
class TextColumns:
    """Columns of a table whose rows are read as texts and numbers, as JSON has them.

    Times are ISO texts in UTC, prices and amounts texts with eight places, other decimals floats, ids texts, and
    columns of JSON its text. PostgreSQL converts in the query; on SQLite the values are converted here.
    """

    model: type[Model]
    names: tuple[str, ...]

    def read(self, rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query of this table, each with the values of these columns."""
        if connection.vendor != "postgresql":
            found = rows.values_list(*self.names)
            return [tuple(map(_plain, row, self._fields)) for row in found]
        return select(self.expressions, rows)

    @cached_property
    def _fields(self) -> Sequence["Field[Any, Any]"]:
        return [self.model._meta.get_field(name) for name in self.names]  # type: ignore[misc]  # noqa: SLF001

    @cached_property
    def expressions(self) -> str:
        """SQL expressions of the values on PostgreSQL."""
        table = self.model._meta.db_table  # noqa: SLF001
        return ", ".join(_postgresql_value(field, f'"{table}"."{field.column}"') for field in self._fields)


def select(expressions: str, rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
    """Rows of a query of one table with the values of SQL expressions."""
    try:
        query, parameters = rows.values_list("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expressions} FROM {query.partition(' FROM ')[2]}", parameters)  # noqa: S608
        return cursor.fetchall()


@lru_cache(maxsize=4096)
def json_of(text: str) -> orjson.Fragment:
    """A column's JSON as the API writes it, the keys of an object in order; the same texts return in most rows.

    >>> orjson.dumps([json_of('{"b": 1, "a": [2, null]}')])
    b'[{"a":[2,null],"b":1}]'
    """
    found = json.loads(text)
    return orjson.Fragment(orjson.dumps(dict(sorted(found.items())) if isinstance(found, dict) else found))


def _postgresql_value(field: "Field[Any, Any]", column: str) -> str:
    match field:
        case models.DateTimeField():
            return f"""replace(to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', '')"""
        case models.DecimalField():
            return f"{column}::{'text' if field.decimal_places == PRICE_PLACES else 'float8'}"
        case models.UUIDField() | models.JSONField():
            return f"{column}::text"
    return column


def _plain(value: Any, field: "Field[Any, Any]") -> Any:
    match field:
        case models.JSONField():
            return json.dumps(value)
        case models.DateTimeField() if value is not None:
            return iso(value)
        case models.DecimalField() if isinstance(value, Decimal):
            return decimal_text(value) if field.decimal_places == PRICE_PLACES else float(value)
    return str(value) if isinstance(value, UUID) else value
