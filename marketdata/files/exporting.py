"""Exporting candles to files with the columns that `import_candles` reads."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from marketdata.files.readers import DumpError
from marketdata.models import Candle, Market
from marketdata.storage.candles import FIELDS
from marketdata.storage.fixed_point import read_column

CHUNK = 50_000
_EXACT = pa.decimal128(38, 8)


def export_candles(market: Market, from_ms: int, until_ms: int, path: Path) -> int:
    """Write a market's candles to a file, oldest first and without loss; return their number."""
    writers = {".parquet": _write_parquet, ".csv": _write_csv}
    if path.suffix.lower() not in writers:
        raise DumpError(f"{path.name}: write a name ending in .parquet or .csv")
    candles = Candle.objects.filter(market=market, open_time__gte=from_ms, open_time__lt=until_ms)
    rows = candles.order_by("open_time").values_list(*FIELDS).iterator(chunk_size=CHUNK)
    columns: dict[str, list[Any]] = {name: [] for name in FIELDS}
    for row in rows:
        for name, cell in zip(FIELDS, row, strict=True):
            columns[name].append(cell)
    partial = path.with_name(path.name + ".partial")
    try:
        writers[path.suffix.lower()](columns, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DumpError(f"{path} cannot be written: {error.strerror}") from error
    return len(columns["open_time"])


def _write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    arrays = {
        name: pa.array(cells, pa.int64()) if name in {"open_time", "trades"} else _numbers(cells)
        for name, cells in columns.items()
    }
    pq.write_table(pa.table(arrays), path, compression="zstd", write_page_checksum=True)


def _numbers(cells: list[Decimal | None]) -> pa.Array:
    """Float column, or a decimal column where a float would lose digits."""
    floats = pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    decimals = pa.array(cells, _EXACT)
    near, exact = read_column(floats), read_column(decimals)
    is_same = np.array_equal(near.whole, exact.whole) and np.array_equal(near.frac, exact.frac)
    return floats if is_same else decimals


def _write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    arrays = {
        name: pa.array([f"{cell:.8f}" if isinstance(cell, Decimal) else cell for cell in cells])
        for name, cells in columns.items()
    }
    csv.write_csv(pa.table(arrays), path, csv.WriteOptions(quoting_style="none"))
