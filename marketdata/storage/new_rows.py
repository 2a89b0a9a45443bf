"""Making and insertion of new rows of any table: by COPY on PostgreSQL, else by Django."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.expressions import DatabaseDefault

Row = TypeVar("Row", bound=Model)

CHUNK = 100
"""Rows sent at a time: the server inserts them while the next are written as text."""


class Template(Generic[Row]):
    """Maker of new rows of one table with the defaults of columns that are not given.

    It costs a tenth of Django's constructor, which matters for thousands of rows at a close. Columns are not checked:
    they are attributes of the model such as `market_id`, values have their final types, and a column whose default is
    a function must be given.
    """

    def __init__(self, model: type[Row]) -> None:
        self._model = model
        self._defaults = {
            field.attname: field.get_default()
            for field in model._meta.concrete_fields  # noqa: SLF001
            if not (field.has_default() and callable(field.default))
        }

    def row(self, columns: Mapping[str, Any]) -> Row:
        """New row that is not stored yet."""
        made = self._model.__new__(self._model)
        made.__dict__ = {"_state": ModelState(), **self._defaults, **columns}
        return made


def insert(rows: Iterable[Model]) -> None:
    """Insert new rows of one table, in the transaction of the caller.

    Rows may be made while they are taken: the server stores some while the next are made. Making them may not use the
    database. On PostgreSQL rows are not returned: a key given by the database stays unknown, and values that Django
    sets while saving must be set already.
    """
    source = iter(rows)
    chunk = list(islice(source, CHUNK))
    if not chunk:
        return
    if connection.vendor != "postgresql":
        type(chunk[0])._default_manager.bulk_create([*chunk, *source], batch_size=1000)  # noqa: SLF001
        return
    columns = [
        (field.attname, connection.ops.quote_name(str(field.column)))
        for field in chunk[0]._meta.concrete_fields  # noqa: SLF001
        if not isinstance(value := getattr(chunk[0], field.attname), DatabaseDefault)
        and not (field.primary_key and value is None)
    ]
    names = [name for name, _ in columns]
    table = connection.ops.quote_name(chunk[0]._meta.db_table)  # noqa: SLF001
    statement = f"COPY {table} ({', '.join(column for _, column in columns)}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        while chunk:
            copy.write("".join([_line(row, names) for row in chunk]))
            chunk = list(islice(source, CHUNK))


def _line(row: Model, names: Sequence[str]) -> str:
    kept = row.__dict__
    return "\t".join([text_of(kept[name]) for name in names]) + "\n"


def text_of(value: Any) -> str:
    r"""Value in the text format of COPY; lists and dicts as JSON.

    >>> text_of(None), text_of(True), text_of({"a": "b\n"}), text_of("tab\tor \\")
    ('\\N', 't', '{"a":"b\\\\n"}', 'tab\\tor \\\\')
    """
    return _TEXTS.get(type(value), _escaped)(value)


def _escaped(value: Any) -> str:
    text = str(value)
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text


def _json(value: Any) -> str:
    return orjson.dumps(value).decode().replace("\\", "\\\\")


@lru_cache(maxsize=1024)
def _instant_text(instant: datetime) -> str:
    """Text of an instant; the rows of one close share few."""
    return instant.isoformat()


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    bool: lambda value: "t" if value else "f",
    int: str,
    float: repr,
    Decimal: lambda value: f"{value:f}",
    datetime: _instant_text,
    UUID: lambda value: value.hex,
    list: _json,
    dict: _json,
}
