"""Many rows, some at a time, through a cursor that is closed where the reading ends."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db.models import QuerySet


@contextmanager
def reading(rows: QuerySet[Any], chunk: int) -> Iterator[Iterator[Any]]:
    """Give the rows; the cursor goes with the block, whatever ends it.

    Left to the garbage collector it would be closed in somebody else's transaction, which PostgreSQL then aborts.
    """
    found = cast("Generator[Any]", rows.iterator(chunk))
    try:
        yield found
    finally:
        found.close()
