"""Opening candle files: what is inside a Parquet, CSV or ZIP as raw columns, nothing believed yet."""

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from marketdata.errors import MarketDataError

LARGEST_CSV = 2**30
DUMP_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_base", "taker_buy_quote", "ignore",
)  # fmt: skip
REQUIRED = ("open_time", "open", "high", "low", "close", "volume")
SYNONYMS = {
    "count": "trades",
    "number_of_trades": "trades",
    "quote_asset_volume": "quote_volume",
    "taker_buy_volume": "taker_buy_base",
    "taker_buy_base_asset_volume": "taker_buy_base",
    "taker_buy_quote_volume": "taker_buy_quote",
    "taker_buy_quote_asset_volume": "taker_buy_quote",
}
SUFFIXES = (".parquet", ".csv", ".zip")


class DumpError(MarketDataError):
    """A file that is torn, of an unknown kind, or lacks a column."""


@dataclass(frozen=True)
class RawTable:
    """Columns as they were in the file; `lines` says where each row stood."""

    name: str
    columns: dict[str, pa.Array]
    lines: npt.NDArray[np.int64]
    is_dump: bool = False
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def read_file(path: Path) -> RawTable:
    """Read by extension; whatever is wrong with the file is one sentence."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix == ".csv":
            return _read_csv(path.name, path.read_bytes())
        if suffix == ".zip":
            return _read_zip(path)
    except (pa.ArrowException, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError is what zipfile says of an encrypted member, a kind of it of a packing it does not know.
        raise DumpError(f"{path.name} is torn or not what its name says: {str(error)[:200]}") from error
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror or str(error)[:200]}") from error
    raise DumpError(f"{path.name}: candle files end in {', '.join(SUFFIXES)}")


def _read_parquet(path: Path) -> RawTable:
    table = pq.read_table(path, use_threads=True, memory_map=False)
    columns = {SYNONYMS.get(name, name): table.column(name).combine_chunks() for name in table.column_names}
    _require(path.name, columns)
    opens = columns["open_time"]
    if pa.types.is_timestamp(opens.type):
        columns["open_time"] = opens.cast(pa.timestamp("ms")).cast(pa.int64())
    elif not pa.types.is_integer(opens.type):
        raise DumpError(f"{path.name}: open_time is {opens.type}, not milliseconds as a whole number")
    return RawTable(path.name, columns, np.arange(1, table.num_rows + 1))


def _read_zip(path: Path) -> RawTable:
    _verify_checksum(path)
    with zipfile.ZipFile(path) as archive:
        inner = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".csv")]
        if len(inner) != 1:
            raise DumpError(f"{path.name} holds {len(inner)} CSV files; a dump holds one")
        if inner[0].file_size > LARGEST_CSV:
            raise DumpError(f"{path.name} unpacks to {inner[0].file_size} bytes; that is no candle dump")
        return _read_csv(path.name, archive.read(inner[0]))


def _verify_checksum(path: Path) -> None:
    """The exchange puts ``NAME.zip.CHECKSUM`` beside a dump: its SHA-256 and name."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return
    words = beside.read_text(errors="replace").split()
    if not words or words[0].lower() != hashlib.sha256(path.read_bytes()).hexdigest():
        raise DumpError(f"{path.name} does not have the SHA-256 its CHECKSUM file names")


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_csv(name: str, content: bytes) -> RawTable:
    """Read every cell as bytes; lines with another number of cells are listed, not guessed at."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].strip().decode("ascii", errors="replace")
    if not head:
        raise DumpError(f"{name} is empty")
    if not content.isascii() and not _is_text(content):
        raise DumpError(f"{name} is torn or not what its name says: it is not text")
    cells = [cell.strip().strip('"').lower() for cell in head.split(",")]
    has_header = not cells[0].lstrip("-").isdigit()
    if has_header:
        columns = [SYNONYMS.get(cell, cell) for cell in cells]
    elif len(cells) == len(DUMP_COLUMNS):
        columns = list(DUMP_COLUMNS)
    else:
        raise DumpError(f"{name} has no header and {len(cells)} columns; the exchange's dumps have 12")
    if len(set(columns)) != len(columns):
        raise DumpError(f"{name} names a column twice")
    ragged: list[tuple[int, str]] = []

    def list_ragged(row: csv.InvalidRow) -> str:
        ragged.append((row.number, f"has {row.actual_columns} cells instead of {row.expected_columns}"))
        return "skip"

    table = csv.read_csv(
        io.BytesIO(content),
        csv.ReadOptions(use_threads=False, column_names=columns, skip_rows=int(has_header)),
        csv.ParseOptions(quote_char=False, invalid_row_handler=list_ragged, ignore_empty_lines=False),
        csv.ConvertOptions(column_types={column: pa.binary() for column in columns}, strings_can_be_null=False),
    )
    skipped = {number for number, _ in ragged}
    total = table.num_rows + len(skipped) + int(has_header)
    lines = np.array([line for line in range(1 + int(has_header), total + 1) if line not in skipped], dtype=np.int64)
    arrays = {column: _trimmed(table.column(column).combine_chunks()) for column in columns}
    _require(name, arrays)
    filled = ~np.all([array.is_null().to_numpy(zero_copy_only=False) for array in arrays.values()], axis=0)
    if not filled.all():  # blank lines
        arrays, lines = {column: array.filter(pa.array(filled)) for column, array in arrays.items()}, lines[filled]
    return RawTable(name, arrays, lines, is_dump="close_time" in arrays, unreadable=ragged)


def _trimmed(column: pa.Array) -> pa.Array:
    """Cells without a carriage return; an empty cell is missing."""
    bare = pc.replace_substring_regex(column, r"[ \r]+$", "")
    return pc.if_else(pc.equal(pc.binary_length(bare), 0), pa.scalar(None, pa.binary()), bare)


def _require(name: str, columns: dict[str, pa.Array]) -> None:
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise DumpError(f"{name} lacks {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
