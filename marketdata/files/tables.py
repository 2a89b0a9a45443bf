"""Reading and checking candle files of every accepted form as whole columns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketdata.exchange.parsing import EARLIEST_MS, LATEST_MS, PRICE_LIMIT, CandleRow, is_symbol, normal_symbol
from marketdata.files import closing_times
from marketdata.files.readers import DumpError, RawTable, read_file
from marketdata.files.times import TimeColumn, ZoneMissing, read_times
from marketdata.intervals import INTERVAL, INTERVAL_MS
from marketdata.storage.fixed_point import FixedColumn, read_column

PRICES = ("open", "high", "low", "close")
FLOWS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
MICROSECONDS_SINCE_MS = 1_735_689_600_000
"""The exchange's spot dumps are in microseconds from 2025-01-01 on, and never before."""
Refuse = Callable[[npt.NDArray[np.bool_], str], None]
"""Marks rows as refused with a reason, unless they already are."""


class Rejected(NamedTuple):
    """A row that broke a rule: its line (in Parquet its row number) and the reason."""

    line: int
    reason: str


@dataclass(frozen=True)
class CandleTable:
    """Good rows of one file as exact columns, oldest first, and bad ones with reasons.

    `cut_short` are the closes, by open, of good rows a halt ended early; `off_grid` are lines and opens of candles that
    are not on the grid: neither good nor bad.
    """

    open_time: npt.NDArray[np.int64]
    columns: dict[str, FixedColumn]
    rejected: list[Rejected]
    cut_short: dict[int, int] = field(default_factory=dict)
    off_grid: list[tuple[int, int]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Columns of the file that were not read."""
    place: str = "line"
    """Name of a position in the file, `line` or `row`."""
    notes: list[str] = field(default_factory=list)
    """Messages about other parts of the file that were left out or interpreted."""

    def __len__(self) -> int:
        return len(self.open_time)

    def row(self, position: int) -> CandleRow:
        """One candle with exact numbers."""
        cells = {name: column.at(position) for name, column in self.columns.items()}
        trades = cells.pop("trades")
        return CandleRow(int(self.open_time[position]), trades=None if trades is None else int(trades), **cells)  # type: ignore[arg-type]


def read_dump(
    path: Path,
    symbol: str = "",
    *,
    utc: bool = False,
    force: bool = False,
    last_open: int = LATEST_MS,
    clock_says: str = "",
) -> CandleTable:
    """Read a candle file; rows that break a rule are left out and listed.

    Times without a zone are refused unless `utc`, trades without volume unless `force`. A candle opening after
    `last_open` counts as not closed, whatever its row contains; `clock_says` describes the clock in the reason.

    Raises
    ------
    DumpError
        If the file is corrupt, lacks a column, or holds candles of another interval, market or kind.
    """
    raw = read_file(path, symbol)
    n_rows = len(raw.lines)
    reasons = np.full(n_rows, "", dtype=object)

    def refuse(where: npt.NDArray[np.bool_], reason: str) -> None:
        reasons[where & (reasons == "")] = reason

    open_time = _read_opens(raw, refuse, utc=utc)
    columns = {name: read_column(raw.columns[name]) for name in (*PRICES, "volume")}
    for name in FLOWS:
        columns[name] = read_column(raw.columns.get(name, pa.nulls(n_rows, pa.string())))
    if not force:
        _check_trades(raw.name, columns)
    _check_values(columns, refuse)
    cut_short: dict[int, int] = {}
    off_grid: list[tuple[int, int]] = []
    if "close_time" in raw.columns:
        close = _times_of(raw, "close_time", utc=utc)
        _check_close_times(close, open_time, columns, refuse)
        cut, apart = closing_times.accept_halted_rows(open_time, close.ms, reasons)
        cut_short = dict(zip(open_time[cut].tolist(), close.ms[cut].tolist(), strict=True))
        off_grid = list(zip(raw.lines[apart].tolist(), open_time[apart].tolist(), strict=True))
        reasons[apart] = closing_times.OFF_GRID  # removed again below: not a candle of the grid
    closing_times.refuse_unclosed(open_time, last_open, clock_says, refuse)
    _check_repeats(open_time, raw.lines, reasons, raw.place)
    good = np.flatnonzero(reasons == "")
    good = good[np.argsort(open_time[good], kind="stable")]
    reasons[np.isin(raw.lines, [line for line, _ in off_grid])] = ""
    rejected = [Rejected(int(raw.lines[row]), reasons[row]) for row in np.flatnonzero(reasons != "")]
    rejected = sorted([*rejected, *(Rejected(line, reason) for line, reason in raw.unreadable)])
    taken = {name: column.take(good) for name, column in columns.items()}
    return CandleTable(open_time[good], taken, rejected, cut_short, off_grid, raw.ignored, raw.place, raw.notes)


def check_symbol(symbol: str) -> str:
    """Normalised symbol; anything that cannot be a symbol is refused."""
    if not is_symbol(normal_symbol(symbol)):
        raise DumpError(f"{symbol!r} is not a symbol: 2 to 20 letters and digits, for example BTCUSDT")
    return normal_symbol(symbol)


def _times_of(raw: RawTable, name: str, *, utc: bool) -> TimeColumn:
    try:
        return read_times(raw.columns[name], utc=utc)
    except ZoneMissing as error:
        raise DumpError(
            f"{raw.name} {raw.place} {raw.lines[error.row]}: {name} {error.shown} names no zone; "
            "give --utc if the file's times are UTC"
        ) from error


def _read_opens(raw: RawTable, refuse: Refuse, *, utc: bool) -> npt.NDArray[np.int64]:
    """Opens in milliseconds; the unit of each row is determined by its magnitude."""
    times = _times_of(raw, "open_time", utc=utc)
    in_us = times.unit == "microseconds"
    if in_us.any() and "close_time" not in raw.columns:
        line = raw.lines[int(np.argmax(in_us))]
        raise DumpError(
            f"{raw.name} {raw.place} {line}: open_time is in microseconds; it is read in microseconds only from the "
            "exchange's own dumps, which have a close_time"
        )
    refuse(times.missing, "open time is missing")
    refuse(times.bad, "open time is not milliseconds as a whole number, nor a time such as 2024-03-01T00:00:00Z")
    for unit in ("seconds", "nanoseconds"):
        refuse(times.unit == unit, f"open time is in {unit}, not in milliseconds")
    out_of_range = (times.unit == "") | (times.ms < EARLIEST_MS) | (times.ms >= LATEST_MS)
    refuse(out_of_range, "open time is not in milliseconds between 2017 and 2100")
    refuse(in_us & (times.ms < MICROSECONDS_SINCE_MS), "the exchange's dumps are in milliseconds before 2025")
    refuse(times.beyond_us != 0, "open time is not a whole millisecond")
    _check_interval(times.ms[~out_of_range], raw.name)
    refuse(times.ms % INTERVAL_MS != 0, closing_times.OFF_GRID)
    return times.ms


def _check_interval(opens: npt.NDArray[np.int64], name: str) -> None:
    """Refuse a file of another interval, recognised by its most frequent step."""
    steps, counts = np.unique(np.diff(np.unique(opens)), return_counts=True)
    if len(steps) and len(opens) >= 3 and steps[np.argmax(counts)] != INTERVAL_MS:
        minutes = steps[np.argmax(counts)] / 60_000
        raise DumpError(f"{name} holds candles {minutes:g} minutes apart by open_time; this engine uses {INTERVAL}")


def _check_trades(name: str, columns: dict[str, FixedColumn]) -> None:
    """Refuse candles of mark and index prices, whose updates the exchange counts as trades."""
    traded = ~columns["trades"].is_zero() & ~columns["trades"].missing & ~columns["trades"].bad
    empty = traded & columns["volume"].is_zero() & ~columns["volume"].bad & ~columns["volume"].missing
    if 2 * np.count_nonzero(empty) > np.count_nonzero(traded):
        raise DumpError(
            f"{name} has trades without volume in {np.count_nonzero(empty):,} of {len(traded):,} rows, as dumps of "
            "mark and index prices have, which bear the name of the spot dump; --revise imports it all the same"
        )


def _check_values(columns: dict[str, FixedColumn], refuse: Refuse) -> None:
    for name in (*PRICES, "volume"):
        column = columns[name]
        refuse(column.missing, f"{name} is missing")
        refuse(column.bad, f"{name} is not a number from 0 on")
    refuse(columns["low"].is_zero(), "low is not above 0")
    refuse(columns["low"].exceeds(columns["high"]), "high is below low")
    refuse(columns["high"].whole >= int(PRICE_LIMIT), "high is beyond any price")
    for name in ("open", "close"):
        outside = columns["low"].exceeds(columns[name]) | columns[name].exceeds(columns["high"])
        refuse(outside, f"{name} is outside low to high")
    for name in FLOWS:
        refuse(columns[name].bad, f"{name} is not a number from 0 on")
    refuse(columns["trades"].frac != 0, "trades is not a whole number")
    for part, total in (("taker_buy_base", "volume"), ("taker_buy_quote", "quote_volume")):
        known = ~columns[part].missing & ~columns[total].missing
        refuse(known & columns[part].exceeds(columns[total]), f"{part} is more than {total}")


def _check_close_times(
    close: TimeColumn, opens: npt.NDArray[np.int64], columns: dict[str, FixedColumn], refuse: Refuse
) -> None:
    """Refuse wrong close times; only an empty candle may be cut short by a halt."""
    halted = columns["volume"].is_zero() & columns["trades"].is_zero()
    halted &= (close.ms >= opens) & (close.ms < opens + INTERVAL_MS)
    is_last = (close.ms == opens + INTERVAL_MS - 1) & ((close.beyond_us == 0) | (close.beyond_us == 999))
    refuse(close.missing | close.bad | ~(is_last | halted), closing_times.WRONG_CLOSE_TIME)


def _check_repeats(
    opens: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], reasons: npt.NDArray[Any], place: str
) -> None:
    good = np.flatnonzero(reasons == "")
    order = good[np.argsort(opens[good], kind="stable")]
    for position in np.flatnonzero(np.diff(opens[order]) == 0):
        reasons[order[position + 1]] = f"open time repeats that of {place} {lines[order[position]]}"
