"""Parquet and CSV files written as a stream, completely or not at all."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from indicators.errors import MLEngineError

Columns = dict[str, np.ndarray]
FORMATS = (".parquet", ".csv")


class TableFileError(MLEngineError):
    """A table file cannot be written."""


class TableFile:
    """A table written block by block to a temporary file, renamed at the end."""

    def __init__(self, path: Path) -> None:
        if path.suffix not in FORMATS:
            raise TableFileError(f"{path.name} must end in {' or '.join(FORMATS)}")
        if not path.parent.is_dir():
            raise TableFileError(f"{path.parent} is not a folder")
        self.path = path
        self.unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self.rows = 0
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if kind is None and self._writer is not None:
                self._rename()
        except OSError as problem:
            raise self._write_error(problem) from problem
        finally:
            self.unfinished.unlink(missing_ok=True)

    def write(self, columns: Columns) -> None:
        """Append rows; every block has the same columns."""
        block = pa.table({name: _column(values) for name, values in columns.items()})
        try:
            if self._writer is None:
                self._writer = self._open(block.schema)
            self._writer.write_table(block)
        except OSError as problem:
            raise self._write_error(problem) from problem
        self.rows += block.num_rows

    def _open(self, schema: pa.Schema) -> Any:
        if self.path.suffix == ".csv":
            return pyarrow.csv.CSVWriter(str(self.unfinished), schema)
        return pq.ParquetWriter(str(self.unfinished), schema, compression="zstd")

    def _rename(self) -> None:
        with self.unfinished.open("rb") as file:
            os.fsync(file.fileno())
        self.unfinished.replace(self.path)

    def _write_error(self, problem: OSError) -> TableFileError:
        return TableFileError(f"{self.path} could not be written: {problem.strerror or problem}")


def _column(values: np.ndarray) -> pa.Array:
    """An Arrow array of a column; NaN becomes null, repeated texts are dictionary-encoded."""
    if values.dtype != object:
        return pa.array(values, from_pandas=True)
    words, which = np.unique(values.astype(str), return_inverse=True)
    return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32()), pa.array(words, pa.string())).cast(pa.string())
