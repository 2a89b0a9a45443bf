"""Reading times in candle files: numbers, timestamps with a zone, ISO 8601 texts. Pure."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marketdata.errors import MarketDataError
from marketdata.exchange.parsing import EARLIEST_MS, LATEST_MS
from marketdata.storage.fixed_point import as_text, read_column

_ISO = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6}0{0,6})?)?)\s?"
    r"(?P<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
_PER_MS = {"seconds": (1, 1000), "milliseconds": (1, 1), "microseconds": (1000, 1), "nanoseconds": (1_000_000, 1)}
_UNIT_US = {"s": 1_000_000, "ms": 1000, "us": 1}


class ZoneMissing(MarketDataError):
    """A time without a zone that was not declared to be UTC."""

    def __init__(self, row: int, shown: str) -> None:
        super().__init__(shown)
        self.row = row
        self.shown = shown


@dataclass(frozen=True)
class TimeColumn:
    """Times of a column in whole milliseconds and the microseconds beyond them.

    `unit` is that of a number (by its range), "timestamp" for a date and time; "" where it is no time.
    """

    ms: npt.NDArray[np.int64]
    beyond_us: npt.NDArray[np.int64]
    unit: npt.NDArray[np.object_]
    missing: npt.NDArray[np.bool_]
    bad: npt.NDArray[np.bool_]


def read_times(column: pa.Array, *, utc: bool = False) -> TimeColumn:
    """Read a column of times; times without a zone are refused unless `utc` is true.

    Raises
    ------
    ZoneMissing
        At the first time without a zone.

    Examples
    --------
    >>> read_times(pa.array(["2024-03-01 01:00:00+01:00", "1709251200000"])).ms.tolist()
    [1709251200000, 1709251200000]
    """
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None and not utc and column.null_count < len(column):
            row = int(np.argmax(column.is_valid().to_numpy(zero_copy_only=False)))
            raise ZoneMissing(row, str(column[row].cast(pa.string())))
        return _from_timestamps(column)
    text = as_text(column)
    if text is None:
        return _from_numbers(column)
    if _is_all_digits(text):
        return _from_numbers(text.cast(pa.string()).cast(pa.int64()))
    plain = pc.match_substring_regex(text, r"^[0-9]+(\.0*)?$").fill_null(True).to_numpy(zero_copy_only=False)
    if plain.all():
        return _from_numbers(text)
    return _from_iso_texts(text, plain, utc=utc)


def _is_all_digits(text: pa.Array) -> bool:
    """Whether every cell consists of digits that fit 64 bits, as in the exchange's dumps."""
    widest = pc.max(pc.binary_length(text)).as_py()
    return (widest or 0) <= 18 and pc.all(pc.ascii_is_decimal(text.cast(pa.string()))).as_py() is not False


def _from_numbers(column: pa.Array) -> TimeColumn:
    read = read_column(column)
    whole, bad = read.whole, read.bad | (read.frac != 0)
    ms, beyond = whole.copy(), np.zeros(len(whole), dtype=np.int64)
    unit = np.full(len(whole), "", dtype=object)
    for name, (divide, multiply) in _PER_MS.items():
        here = (whole >= EARLIEST_MS * divide // multiply) & (whole < LATEST_MS * divide // multiply) & ~bad
        unit[here] = name
        if name == "microseconds" and here.any():
            ms[here], beyond[here] = whole[here] // 1000, whole[here] % 1000
    return TimeColumn(ms, beyond, unit, read.missing, bad & ~read.missing)


def _from_timestamps(column: pa.Array) -> TimeColumn:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    counts = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if column.type.unit == "ns":
        bad, us = counts % 1000 != 0, counts // 1000
    else:
        size = _UNIT_US[column.type.unit]
        bad = np.abs(counts) > LATEST_MS * 1000 // size
        us = np.where(bad, 0, counts) * size
    unit = np.where(missing | bad, "", "timestamp").astype(object)
    return TimeColumn(us // 1000, us % 1000, unit, missing, bad & ~missing)


def _from_iso_texts(text: pa.Array, plain: npt.NDArray[np.bool_], *, utc: bool) -> TimeColumn:
    import pandas as pd  # 65 MB of memory, not needed for the exchange's own dumps

    read = _from_numbers(pc.if_else(pa.array(plain), text, pa.scalar(None, text.type)))
    rows = np.flatnonzero(~plain)
    words: list[str | None] = []
    for row in rows:
        shown = text[int(row)].as_py().decode(errors="replace")
        found = _ISO.fullmatch(shown)
        if found is not None and not found["zone"] and not utc:
            raise ZoneMissing(int(row), shown)
        zone = (found["zone"] or "Z") if found else ""
        words.append(f"{found['day']}T{found['time']}{'Z' if zone in {'z', 'UTC'} else zone}" if found else None)
    times = pd.to_datetime(pd.Series(words, dtype=object), format="ISO8601", utc=True, errors="coerce")
    bad = times.isna().to_numpy()
    us = times.dt.as_unit("us").fillna(pd.Timestamp(0, tz="UTC")).astype("int64").to_numpy()
    read.ms[rows], read.beyond_us[rows] = us // 1000, us % 1000
    read.unit[rows] = np.where(bad, "", "timestamp")
    read.bad[rows], read.missing[rows] = bad, False
    return read
