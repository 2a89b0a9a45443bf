"""Reading Parquet, Feather, CSV and ZIP candle files into raw columns, without interpretation."""

import gzip
import hashlib
import re
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from marketdata.errors import MarketDataError
from marketdata.exchange.parsing import is_symbol, normal_symbol
from marketdata.files.column_names import match_columns
from marketdata.files.text_tables import TableError, read_text_table
from marketdata.intervals import INTERVAL
from marketdata.storage.fixed_point import as_text, float32_loss

MAX_CSV_BYTES = 2**30
INTERVAL_NAMES = (INTERVAL, "5min", "5T", "M5")
SUFFIXES = (".parquet", ".feather", ".csv", ".csv.gz", ".zip")
_NAME = re.compile(r"(?P<symbol>[^\W_]{1,40}(?:_[^\W_]{1,40})?)-(?P<interval>[0-9]{1,4}[smhdwM])(?:[-.].{0,255})?")


class DumpError(MarketDataError):
    """A file that is corrupt, of an unknown kind, or lacks a column."""


@dataclass(frozen=True)
class RawTable:
    """Columns as they were in the file; `lines` are the line numbers of the rows."""

    name: str
    columns: dict[str, pa.Array]
    lines: npt.NDArray[np.int64]
    place: str = "line"
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def symbol_of_name(name: str) -> str:
    """Find the symbol in a file name such as ``BTCUSDT-5m-2024-03.zip``; another interval is refused.

    Examples
    --------
    >>> symbol_of_name("BTCUSDT-5m.parquet"), symbol_of_name("BTC_USDT-5m.feather")
    ('BTCUSDT', 'BTCUSDT')
    """
    # macOS writes names decomposed into letters and combining marks.
    found = _NAME.fullmatch(unicodedata.normalize("NFC", name))
    symbol = normal_symbol(found["symbol"].replace("_", "")) if found else ""
    if found is None or not is_symbol(symbol):
        raise DumpError(f"{name} does not name its symbol; call it SYMBOL-{INTERVAL}.ext or give --symbol")
    if found["interval"] != INTERVAL:
        raise DumpError(f"{name} holds {found['interval']} candles; this engine uses {INTERVAL} candles")
    return symbol


def read_file(path: Path, symbol: str = "") -> RawTable:
    """Read a file by its extension; any fault of it raises `DumpError` with one sentence."""
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            table = pq.read_table(path, memory_map=False, partitioning=None, page_checksum_verification=True)
            return _read_columns(path.name, table, symbol)
        if name.endswith(".feather"):
            return _read_columns(path.name, feather.read_table(path, memory_map=False), symbol)
        if name.endswith(".csv"):
            return _read_csv(path.name, path.read_bytes(), symbol)
        if name.endswith(".csv.gz"):
            return _read_csv(path.name, _unpacked(path), symbol)
        if name.endswith(".zip"):
            return _read_zip(path, symbol)
    except (pa.ArrowException, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, RuntimeError) as error:
        # zipfile raises RuntimeError for an encrypted member, and a subclass of it for an unknown compression.
        raise DumpError(f"{path.name} is corrupt or does not match its extension: {str(error)[:200]}") from error
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror or str(error)[:200]}") from error
    raise DumpError(f"{path.name}: candle files end in {', '.join(SUFFIXES)}")


def _read_columns(name: str, table: pa.Table, symbol: str) -> RawTable:
    """Read the typed columns of Parquet and Feather under the engine's names."""
    matched = match_columns(table.column_names, symbol)
    if matched.missing:
        named = ", ".join(table.column_names[:20])
        raise DumpError(
            f"{name} lacks {', '.join(matched.missing)}; its columns are {named}. "
            "docs/files.md lists the names each column may have"
        )
    if matched.repeated:
        raise DumpError(f"{name} names a column twice: {', '.join(matched.repeated)}")
    columns = {known: table.column(at).combine_chunks() for known, at in matched.positions.items()}
    for known, column in columns.items():
        _check_type(name, known, column)
    lines = np.arange(1, table.num_rows + 1)
    _check_constants(name, columns, lines, symbol, "row")
    return RawTable(name, columns, lines, "row", ignored=matched.ignored)


def _check_type(name: str, known: str, column: pa.Array) -> None:
    """Refuse a column whose type cannot hold the exchange's values exactly."""
    kind = column.type
    if pa.types.is_float16(kind):
        raise DumpError(f"{name}: {known} is {kind}, which holds 3 digits; write float64 or decimals")
    if known in {"symbol", "interval", "ignore"}:
        return
    if known in {"open_time", "close_time"}:
        if pa.types.is_float32(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind) or pa.types.is_nested(kind):
            raise DumpError(f"{name}: {known} is {kind}, not milliseconds as a whole number or a time with its zone")
        return
    if pa.types.is_float32(kind) and (row := float32_loss(column)) is not None:
        raise DumpError(
            f"{name}: {known} is float32, too coarse for its decimals from row {row + 1} on; "
            "write the file again with float64 or decimal columns"
        )


def _read_csv(name: str, content: bytes, symbol: str) -> RawTable:
    try:
        table = read_text_table(content, symbol)
    except TableError as error:
        raise DumpError(f"{name} {error}") from error
    _check_constants(name, table.columns, table.lines, symbol, "line")
    return RawTable(
        name, table.columns, table.lines, unreadable=table.unreadable, ignored=table.ignored, notes=table.notes
    )


def _check_constants(
    name: str, columns: dict[str, pa.Array], lines: npt.NDArray[np.int64], symbol: str, place: str
) -> None:
    """Refuse a file whose symbol or interval differs from the expected in any row."""
    for known, expected in (("symbol", symbol), ("interval", INTERVAL)):
        if known not in columns or not expected:
            continue
        text = as_text(columns[known])
        text = columns[known].cast(pa.string()).cast(pa.binary()) if text is None else text
        for value in text.unique().drop_null().to_pylist():
            shown = value.decode(errors="replace")
            is_same = (
                shown in INTERVAL_NAMES
                if known == "interval"
                else normal_symbol(re.sub(r"[\W_]", "", shown)) == expected
            )
            if not is_same:
                line = lines[text.index(value).as_py()]
                raise DumpError(f"{name} {place} {line} is of {shown}, not of {expected}; a file holds one market")


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as packed:
        content = packed.read(MAX_CSV_BYTES + 1)
    if len(content) > MAX_CSV_BYTES:
        raise DumpError(f"{path.name} unpacks to more than {MAX_CSV_BYTES} bytes; that is no candle dump")
    return content


def _read_zip(path: Path, symbol: str) -> RawTable:
    _verify_checksum(path)
    with zipfile.ZipFile(path) as archive:
        inner = [entry for entry in archive.infolist() if _is_dump(PurePosixPath(entry.filename))]
        if len(inner) != 1:
            raise DumpError(f"{path.name} holds {len(inner)} CSV files; a dump holds one")
        if inner[0].file_size > MAX_CSV_BYTES:
            raise DumpError(f"{path.name} unpacks to {inner[0].file_size} bytes; that is no candle dump")
        _check_inner_name(path.name, PurePosixPath(inner[0].filename).name, symbol)
        return _read_csv(path.name, archive.read(inner[0]), symbol)


def _is_dump(inside: PurePosixPath) -> bool:
    """Whether an archive member is a CSV, other than the metadata files that macOS adds."""
    return inside.suffix.lower() == ".csv" and not inside.name.startswith("._") and "__MACOSX" not in inside.parts


def _check_inner_name(name: str, inside: str, symbol: str) -> None:
    """Refuse a ZIP whose inner file names another symbol."""
    if symbol and _NAME.fullmatch(unicodedata.normalize("NFC", inside)) and symbol_of_name(inside) != symbol:
        raise DumpError(f"{name} holds {inside}, which names another symbol than {symbol}; rename what is wrong")


def _verify_checksum(path: Path) -> None:
    """Compare a dump with the SHA-256 in ``NAME.zip.CHECKSUM``, if that exists."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return
    words = beside.read_text(errors="replace").split()
    if not words or words[0].lower() != hashlib.sha256(path.read_bytes()).hexdigest():
        raise DumpError(f"{path.name} does not have the SHA-256 its CHECKSUM file names")
