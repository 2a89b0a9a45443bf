"""Candle files in: Parquet, CSV, and ZIP in the exchange's own dump format, checked row by row as whole columns."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketdata import closing_times
from marketdata.dump_files import DumpError, RawTable, read_file
from marketdata.fixed_point import FixedColumn, read_column
from marketdata.intervals import INTERVAL, INTERVAL_MS
from marketdata.parsing import EARLIEST_MS, LATEST_MS, PRICE_LIMIT, CandleRow, is_symbol

PRICES = ("open", "high", "low", "close")
FLOWS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
MICROSECONDS_SINCE_MS = 1_735_689_600_000
"""The exchange's spot dumps are in microseconds from 2025-01-01 on, and never before."""
Refuse = Callable[[npt.NDArray[np.bool_], str], None]
"""Marks rows as refused for a reason, unless they already are."""
_NAME = re.compile(r"(?P<symbol>[A-Z0-9]{2,20})-(?P<interval>[0-9]{1,4}[smhdwM])(?:[-.].{0,255})?")


class Rejected(NamedTuple):
    """A row that broke a rule: its line (or row number, from 1, in a Parquet file) and the reason."""

    line: int
    reason: str


@dataclass(frozen=True)
class CandleTable:
    """The good rows of one file as exact columns, oldest first, and the bad ones with reasons.

    `cut_short` are the closes, by open, of good rows a halt ended early; `off_grid` are lines and opens of candles that
    fit no place of the grid: neither good nor bad.
    """

    open_time: npt.NDArray[np.int64]
    columns: dict[str, FixedColumn]
    rejected: list[Rejected]
    cut_short: dict[int, int] = field(default_factory=dict)
    off_grid: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.open_time)

    def row(self, position: int) -> CandleRow:
        """One candle with exact numbers."""
        cells = {name: column.at(position) for name, column in self.columns.items()}
        trades = cells.pop("trades")
        return CandleRow(int(self.open_time[position]), trades=None if trades is None else int(trades), **cells)  # type: ignore[arg-type]


def symbol_of_name(path: Path) -> str:
    """Tell the symbol by a file name such as ``BTCUSDT-5m-2024-03.zip``; another interval is refused.

    Examples
    --------
    >>> symbol_of_name(Path("BTCUSDT-5m.parquet"))
    'BTCUSDT'
    """
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise DumpError(f"{path.name} does not name its symbol; call it SYMBOL-{INTERVAL}.ext or give --symbol")
    if found["interval"] != INTERVAL:
        raise DumpError(f"{path.name} holds {found['interval']} candles; this engine lives on {INTERVAL}")
    return found["symbol"]


def read_dump(path: Path, last_open: int = LATEST_MS, clock_says: str = "") -> CandleTable:
    """Read a candle file; rows that break a rule are left out and listed.

    A candle opening after `last_open` has not closed, whatever its row says; `clock_says` names the clock.

    Raises
    ------
    DumpError
        If the file is torn, lacks a column, or holds candles of another interval.
    """
    raw = read_file(path)
    n_rows = len(raw.lines)
    reasons = np.full(n_rows, "", dtype=object)

    def refuse(where: npt.NDArray[np.bool_], reason: str) -> None:
        reasons[where & (reasons == "")] = reason

    open_time, unit = _read_times(raw, refuse)
    columns = {name: read_column(raw.columns[name]) for name in (*PRICES, "volume")}
    for name in FLOWS:
        columns[name] = read_column(raw.columns.get(name, pa.nulls(n_rows, pa.string())))
    _check_values(columns, refuse)
    cut_short: dict[int, int] = {}
    off_grid: list[tuple[int, int]] = []
    if raw.is_dump:
        _check_close_times(raw, open_time, unit, columns, refuse)
        close_time = read_column(raw.columns["close_time"]).whole // unit
        cut, apart = closing_times.take_halts(open_time, close_time, reasons)
        cut_short = dict(zip(open_time[cut].tolist(), close_time[cut].tolist(), strict=True))
        off_grid = list(zip(raw.lines[apart].tolist(), open_time[apart].tolist(), strict=True))
        reasons[apart] = closing_times.OFF_GRID  # taken out again below: no candle of ours
    closing_times.refuse_unclosed(open_time, last_open, clock_says, refuse)
    _check_repeats(open_time, raw.lines, reasons)
    good = np.flatnonzero(reasons == "")
    good = good[np.argsort(open_time[good], kind="stable")]
    reasons[np.isin(raw.lines, [line for line, _ in off_grid])] = ""
    rejected = [Rejected(int(raw.lines[row]), reasons[row]) for row in np.flatnonzero(reasons != "")]
    rejected = sorted([*rejected, *(Rejected(line, reason) for line, reason in raw.unreadable)])
    return CandleTable(
        open_time[good], {name: column.take(good) for name, column in columns.items()}, rejected, cut_short, off_grid
    )


def check_symbol(symbol: str) -> str:
    """Refuse what cannot be an exchange symbol."""
    if not is_symbol(symbol):
        raise DumpError(f"{symbol!r} is not a symbol: upper-case letters and digits, for example BTCUSDT")
    return symbol


def _read_times(raw: RawTable, refuse: Refuse) -> tuple[npt.NDArray[np.int64], int]:
    """Opens in milliseconds; the file's unit is that of its first row in range, and every row must keep it."""
    read = read_column(raw.columns["open_time"])
    refuse(read.missing | read.bad | (read.frac != 0), "open time is not a whole number")
    told = read.whole
    in_ms = (told >= EARLIEST_MS) & (told < LATEST_MS)
    in_us = (told >= EARLIEST_MS * 1000) & (told < LATEST_MS * 1000) & ~read.bad
    first = np.flatnonzero((in_ms | in_us) & ~read.bad)
    in_microseconds = bool(len(first)) and bool(in_us[first[0]])
    if in_microseconds and not raw.is_dump:
        raise DumpError(f"{raw.name} is in microseconds; a candle file has open_time in milliseconds")
    if in_microseconds:
        refuse(~in_us, "open time is not in microseconds like the rest of the file")
        refuse(told % 1000 != 0, "open time is not a whole millisecond")
        refuse(told // 1000 < MICROSECONDS_SINCE_MS, "the exchange's dumps are in milliseconds before 2025")
    else:
        refuse(~in_ms, "open time is not in milliseconds between 2017 and 2100")
    opens = told // 1000 if in_microseconds else told
    _check_interval(opens[(in_us if in_microseconds else in_ms) & ~read.bad], raw.name)
    refuse(opens % INTERVAL_MS != 0, closing_times.OFF_GRID)
    return opens, 1000 if in_microseconds else 1


def _check_interval(opens: npt.NDArray[np.int64], name: str) -> None:
    """Tell a file of other candles by its commonest step."""
    steps, counts = np.unique(np.diff(np.unique(opens)), return_counts=True)
    if len(steps) and len(opens) >= 3 and steps[np.argmax(counts)] != INTERVAL_MS:
        minutes = steps[np.argmax(counts)] / 60_000
        raise DumpError(f"{name} holds candles {minutes:g} minutes apart; this engine lives on {INTERVAL}")


def _check_values(columns: dict[str, FixedColumn], refuse: Refuse) -> None:
    for name in (*PRICES, "volume"):
        column = columns[name]
        refuse(column.missing, f"{name} is missing")
        refuse(column.bad, f"{name} is not a number from 0 with at most 8 decimals")
    refuse(columns["low"].is_zero(), "low is not above 0")
    refuse(columns["low"].exceeds(columns["high"]), "high is below low")
    refuse(columns["high"].whole >= int(PRICE_LIMIT), "high is beyond any price")
    for name in ("open", "close"):
        outside = columns["low"].exceeds(columns[name]) | columns[name].exceeds(columns["high"])
        refuse(outside, f"{name} is outside low to high")
    for name in FLOWS:
        refuse(columns[name].bad, f"{name} is not a number from 0 with at most 8 decimals")
    refuse(columns["trades"].frac != 0, "trades is not a whole number")
    for part, total in (("taker_buy_base", "volume"), ("taker_buy_quote", "quote_volume")):
        known = ~columns[part].missing & ~columns[total].missing
        refuse(known & columns[part].exceeds(columns[total]), f"{part} is more than {total}")


def _check_close_times(
    raw: RawTable, opens: npt.NDArray[np.int64], unit: int, columns: dict[str, FixedColumn], refuse: Refuse
) -> None:
    """A candle ends where the next begins; one cut short by a halt of the exchange is empty."""
    close = read_column(raw.columns["close_time"])
    whole = close.whole
    halted = columns["volume"].is_zero() & columns["trades"].is_zero()
    halted &= (whole >= opens * unit) & (whole < (opens + INTERVAL_MS) * unit)
    fits = (whole == (opens + INTERVAL_MS) * unit - 1) | halted
    refuse(close.missing | close.bad | ~fits, closing_times.NOT_ITS_END)


def _check_repeats(opens: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], reasons: npt.NDArray[Any]) -> None:
    good = np.flatnonzero(reasons == "")
    order = good[np.argsort(opens[good], kind="stable")]
    for position in np.flatnonzero(np.diff(opens[order]) == 0):
        reasons[order[position + 1]] = f"open time repeats that of line {lines[order[position]]}"
