"""Parquet files of log rows: written atomically, read back without loss."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from django.db import models

from modelregistry.artifacts.writing import fsync_folder
from predictions.errors import ArchiveError

CHUNK = 2000
"""Rows in memory at once, and of one row group."""


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[bool]:
    """Lock the archive folder for one writer; yields False if another writer has it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def write_rows(
    path: Path, model: type[models.Model], rows: Iterable[models.Model], check: Callable[[Iterable[Any]], object]
) -> str:
    """Write rows to a file and return its SHA-256.

    The file gets its name only after `check` has read all rows back.

    Raises
    ------
    OSError
        If the disk is full or fails; nothing of the file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    try:
        with pq.ParquetWriter(unfinished, _schema(model), compression="zstd") as writer:
            source = iter(rows)
            while part := list(islice(source, CHUNK)):
                writer.write_table(_table(model, part))
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        check(read_rows(unfinished, model))
        digest = digest_of(unfinished)
        unfinished.replace(path)
        fsync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return digest


def read_rows(path: Path, model: type[models.Model]) -> Iterator[Any]:
    """Read the rows of a file as they were in the database, oldest first."""
    decoders = {field.attname: _decoder(field) for field in _fields(model)}
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK, columns=list(decoders)):
                for row in batch.to_pylist():
                    yield model(**{name: decoders[name](value) for name, value in row.items()})
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ArchiveError(f"{path.name} cannot be read: {error}") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path.name} cannot be read: {error.strerror or error}") from error


def _fields(model: type[models.Model]) -> list[Any]:
    return list(model._meta.concrete_fields)  # noqa: SLF001  # documented public API of Django


def _schema(model: type[models.Model]) -> pa.Schema:
    return pa.schema([pa.field(field.attname, _type(field)) for field in _fields(model)])


def _type(field: Any) -> pa.DataType:
    if isinstance(field, models.DecimalField):
        return pa.decimal128(field.max_digits, field.decimal_places)
    if isinstance(field, models.DateTimeField):
        return pa.timestamp("us", "UTC")
    if isinstance(field, models.FloatField):
        return pa.float64()
    if isinstance(field, models.BooleanField):
        return pa.bool_()
    if isinstance(field, models.IntegerField | models.ForeignKey):
        return pa.int64()
    return pa.string()


def _table(model: type[models.Model], rows: list[models.Model]) -> pa.Table:
    schema = _schema(model)
    columns = {
        field.attname: pa.array([_encoded(field, getattr(row, field.attname)) for row in rows], _type(field))
        for field in _fields(model)
    }
    return pa.table(columns, schema=schema)


def _encoded(field: Any, value: Any) -> Any:
    if isinstance(field, models.JSONField):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return str(value) if isinstance(value, UUID) else value


def _decoder(field: Any) -> Callable[[Any], Any]:
    if isinstance(field, models.JSONField):
        return orjson.loads
    return UUID if isinstance(field, models.UUIDField) else _unchanged


def _unchanged(value: Any) -> Any:
    return value
