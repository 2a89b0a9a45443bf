"""Track record as CSV and Parquet; no cell of a CSV file is a formula to a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def rows_of(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scores as flat rows of one type a column.

    Examples
    --------
    >>> rows_of([{"symbol": "A", "skill": {"ewm": 0.1}, "coverage": [{"level": 0.8, "high": 0.79, "low": None}]}])
    [{'symbol': 'A', 'skill_ewm': 0.1, 'held_80_high': 0.79, 'held_80_low': None}]
    """
    flat = []
    for score in scores:
        row: dict[str, Any] = {}
        for name, value in score.items():
            if name == "skill_interval":
                ends = {inner: interval or {"lower": None, "upper": None} for inner, interval in value.items()}
                row |= {f"skill_{inner}_{end}": at for inner, interval in ends.items() for end, at in interval.items()}
            elif isinstance(value, Mapping):
                row |= {f"{name}_{inner}": item for inner, item in value.items()}
            elif isinstance(value, list):
                prefix = "held" if name == "coverage" else "below"
                for item in value:
                    level = f"{100 * item['level']:g}"
                    sides = {side.removesuffix("_below"): share for side, share in item.items() if side != "level"}
                    row |= {f"{prefix}_{level}_{side}": share for side, share in sides.items()}
            else:
                row[name] = value
        flat.append(row)
    return flat


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    r"""Rows as CSV; a text that a spreadsheet would calculate begins with an apostrophe.

    Examples
    --------
    >>> as_csv([{"name": "=1+1", "loss": -0.5, "more": None}])
    b"name,loss,more\r\n'=1+1,-0.5,\r\n"
    """
    written = io.StringIO()
    names = list(rows[0]) if rows else []
    table = csv.writer(written)
    table.writerow([_safe(name) for name in names])
    table.writerows([_safe(row.get(name)) for name in names] for row in rows)
    return written.getvalue().encode()


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as a Parquet file."""
    written = io.BytesIO()
    table = pa.Table.from_pylist([dict(row) for row in rows]) if rows else pa.table({})
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
