"""Insertion of new rows of any table: by COPY on PostgreSQL, else by Django."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Model
from django.db.models.expressions import DatabaseDefault

CHUNK = 100
"""Rows sent at a time: the server inserts them while the next are written as text."""


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one table, in the transaction of the caller.

    On PostgreSQL rows are not returned: a key given by the database stays unknown, and values that Django sets while
    saving must be set already.
    """
    if not rows:
        return
    if connection.vendor != "postgresql":
        type(rows[0])._default_manager.bulk_create(rows, batch_size=1000)  # noqa: SLF001
        return
    columns = [
        (field.attname, connection.ops.quote_name(str(field.column)))
        for field in rows[0]._meta.concrete_fields  # noqa: SLF001
        if not isinstance(value := getattr(rows[0], field.attname), DatabaseDefault)
        and not (field.primary_key and value is None)
    ]
    names = [name for name, _ in columns]
    table = connection.ops.quote_name(rows[0]._meta.db_table)  # noqa: SLF001
    statement = f"COPY {table} ({', '.join(column for _, column in columns)}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for first in range(0, len(rows), CHUNK):
            copy.write("".join([_line(row, names) for row in rows[first : first + CHUNK]]))


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


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    bool: lambda value: "t" if value else "f",
    int: str,
    float: repr,
    Decimal: lambda value: f"{value:f}",
    datetime: datetime.isoformat,
    UUID: str,
    list: _json,
    dict: _json,
}
