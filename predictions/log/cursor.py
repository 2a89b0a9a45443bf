"""Chunked reading of large querysets through a database cursor that is always closed."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db.models import QuerySet


@contextmanager
def streamed_rows(rows: QuerySet[Any], chunk: int) -> Iterator[Iterator[Any]]:
    """Iterate over the rows in chunks; the cursor is closed after the block."""
    # Closed by the garbage collector, it could fall into another transaction, which PostgreSQL would abort.
    found = cast("Generator[Any]", rows.iterator(chunk))
    try:
        yield found
    finally:
        found.close()
