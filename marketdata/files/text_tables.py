"""Reading delimited text into columns of cells: detects dialect and header, interprets no cell."""

import csv as lines_of_text
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from marketdata.errors import MarketDataError
from marketdata.files.column_names import DUMP_COLUMNS, MatchedColumns, match_columns

DELIMITERS = (",", ";", "\t", "|")
LINES_BEFORE_HEADER = 20
MAX_HEADER_LENGTH = 10_000
_NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


class TableError(MarketDataError):
    """A text that is not a table of candles; the message follows the file's name."""


class TextTable(NamedTuple):
    """Cells by column name, line numbers of rows, ignored columns, notes and unreadable lines."""

    columns: dict[str, pa.Array]
    lines: npt.NDArray[np.int64]
    ignored: list[str]
    notes: list[str]
    unreadable: list[tuple[int, str]]


class _Head(NamedTuple):
    """Start of the rows, delimiter and columns of a table."""

    offset: int
    lines: int
    delimiter: str
    n_columns: int
    columns: MatchedColumns
    notes: list[str]


def read_text_table(content: bytes, symbol: str = "") -> TextTable:
    """Read every cell as bytes; lines with another number of cells are listed as unreadable."""
    content = _decode(content)
    has_quotes = b'"' in content
    if has_quotes:
        _check_quotes(content)
    head = _find_head(content, symbol)
    ragged: list[tuple[int, str]] = []

    def list_ragged(row: csv.InvalidRow) -> str:
        ragged.append((row.number + head.lines, f"has {row.actual_columns} cells instead of {row.expected_columns}"))
        return "skip"

    body = pa.py_buffer(content).slice(head.offset)
    if not body.size:
        raise TableError("holds no candle")
    names = [str(position) for position in range(head.n_columns)]
    table = csv.read_csv(
        pa.BufferReader(body),
        csv.ReadOptions(use_threads=False, column_names=names),
        csv.ParseOptions(
            delimiter=head.delimiter,
            quote_char='"' if has_quotes else False,
            invalid_row_handler=list_ragged,
            ignore_empty_lines=False,
        ),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=True, null_values=[""]),
    )
    arrays = [table.column(name).combine_chunks() for name in names]
    if any(mark in content for mark in (b" ", b"\t", b"\xc2\xa0")):
        arrays = [_trimmed(array) for array in arrays]
    skipped = {line for line, _ in ragged}
    total = table.num_rows + len(skipped) + head.lines
    lines = np.array([line for line in range(1 + head.lines, total + 1) if line not in skipped], dtype=np.int64)
    filled = ~np.all([array.is_null().to_numpy(zero_copy_only=False) for array in arrays], axis=0)
    if not filled.all():  # blank lines
        arrays, lines = [array.filter(pa.array(filled)) for array in arrays], lines[filled]
    notes = list(head.notes)
    headers = _repeated_headers(arrays, lines, head, symbol)
    if headers:
        kept = ~np.isin(lines, headers)
        arrays, lines = [array.filter(pa.array(kept)) for array in arrays], lines[kept]
        notes.append(f"{len(headers)} repeated headers skipped: line {', '.join(map(str, headers[:20]))}")
    columns = {name: arrays[position] for name, position in head.columns.positions.items()}
    if has_quotes or head.delimiter != ",":
        columns = _with_points(columns, lines, notes)
    return TextTable(columns, lines, head.columns.ignored, notes, ragged)


def _decode(content: bytes) -> bytes:
    """Convert to UTF-8 without byte order mark and with newlines only; UTF-16 needs a mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeError as error:
            raise TableError("is corrupt or does not match its extension: it is not UTF-16 text") from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise TableError(f"is corrupt or does not match its extension: it is not text (line {line})") from error
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def _check_quotes(content: bytes) -> None:
    """Refuse a quote that is not closed on its line: it would include the following lines."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.count(b'"') % 2:
            raise TableError(f"line {number} has a quote that is not closed")


def _split(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(lines_of_text.reader([line], delimiter=delimiter), [])]


def _find_head(content: bytes, symbol: str) -> _Head:
    """Find the header among the first lines, or the exchange's 12 columns without one."""
    offset, first = 0, None
    before: list[tuple[int, str]] = []
    for number, raw in enumerate(content.split(b"\n", LINES_BEFORE_HEADER)[:LINES_BEFORE_HEADER], 1):
        begin, offset = offset, min(offset + len(raw) + 1, len(content))
        line = raw.decode(errors="replace").strip("\ufeff")
        if not line.strip():
            continue
        splits = {delimiter: _split(line[:MAX_HEADER_LENGTH], delimiter) for delimiter in DELIMITERS}
        delimiter = max(splits, key=lambda mark: len(splits[mark]))
        first = first or (number, splits[delimiter])
        if len(line) > MAX_HEADER_LENGTH:
            break
        found = {mark: match_columns(cells, symbol) for mark, cells in splits.items()}
        mark = next((mark for mark, columns in found.items() if not columns.missing), None)
        if mark is not None:
            if found[mark].repeated:
                raise TableError(f"names a column twice in line {number}: {', '.join(found[mark].repeated)}")
            notes = [f"line {at} is not part of the table: {text[:80]}" for at, text in before]
            return _Head(offset, number, mark, len(splits[mark]), found[mark], notes)
        if splits[delimiter][0].lstrip("+-").isdigit():
            if before:
                break
            if len(splits[delimiter]) != len(DUMP_COLUMNS):
                raise TableError(
                    f"has no header and {len(splits[delimiter])} columns; the exchange's dumps have 12. "
                    "Write a first line with the names of the columns"
                )
            return _Head(begin, number - 1, delimiter, len(DUMP_COLUMNS), match_columns(DUMP_COLUMNS), [])
        before.append((number, line))
    if first is None:
        raise TableError("is empty")
    number, cells = first
    widest = max((_split(line, mark) for _, line in before for mark in DELIMITERS), key=len, default=cells)
    missing = match_columns(widest, symbol).missing
    shown = ", ".join(cell[:40] for cell in widest[:20])
    raise TableError(
        f"lacks {', '.join(missing)}; its header names {shown}. docs/files.md lists the names each column may have"
        if len(missing) < 6
        else f"line {number} is no header and no candle: {', '.join(cells)[:80]!r}; the columns it lacks are "
        f"{', '.join(missing)}. docs/files.md lists the names each column may have"
    )


def _trimmed(column: pa.Array) -> pa.Array:
    """Strip blanks around cells; an empty cell becomes null."""
    bare = pc.replace_substring_regex(column, "^(?:[ \t]|\xc2\xa0)+|(?:[ \t]|\xc2\xa0)+$", "")
    return pc.if_else(pc.equal(pc.binary_length(bare), 0), pa.scalar(None, pa.binary()), bare)


def _repeated_headers(arrays: Sequence[pa.Array], lines: npt.NDArray[np.int64], head: _Head, symbol: str) -> list[int]:
    """Lines that repeat the header, as in concatenated files; another header is refused."""
    opens = arrays[head.columns.positions["open"]]
    wordy = pc.match_substring_regex(opens, "^[^0-9]+$").fill_null(False)
    found = []
    for row in np.flatnonzero(wordy.to_numpy(zero_copy_only=False)):
        cells = [(array[int(row)].as_py() or b"").decode(errors="replace") for array in arrays]
        again = match_columns(cells, symbol)
        if again.positions == head.columns.positions:
            found.append(int(lines[row]))
        elif not again.missing:
            raise TableError(f"line {lines[row]} begins a table with other columns; import the two apart")
    return found


def _with_points(columns: dict[str, pa.Array], lines: npt.NDArray[np.int64], notes: list[str]) -> dict[str, pa.Array]:
    """Replace decimal commas by points; ambiguous commas are refused."""
    numbers = {name: columns[name] for name in _NUMBERS if name in columns}
    commas = {name: _matches(array, ",") for name, array in numbers.items()}
    if not any(where.any() for where in commas.values()):
        return columns
    for name, array in numbers.items():
        points = _matches(array, r"\.")
        if points.any():
            raise TableError(
                f"line {lines[int(np.argmax(points))]}: {name} has a decimal point, other cells have commas; "
                "write one kind and no separators of thousands"
            )
    thousands = {name: _matches(array, r"^[0-9]{1,3}(,[0-9]{3})+$") for name, array in numbers.items()}
    if all(np.array_equal(commas[name], thousands[name]) for name in numbers):
        name = next(name for name in numbers if commas[name].any())
        raise TableError(
            f"line {lines[int(np.argmax(commas[name]))]}: the comma in {name} may part thousands or decimals; "
            "write decimal points"
        )
    notes.append("decimal commas read as decimal points")
    return {
        name: pc.replace_substring(array, ",", ".")
        if name in numbers
        else pc.replace_substring_regex(array, ",0*$", "")
        for name, array in columns.items()
    }


def _matches(array: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (
        pc.match_substring_regex(array, pattern).fill_null(False).to_numpy(zero_copy_only=False)
    )
    return found
