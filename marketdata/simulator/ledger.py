"""Ledger of the candles the simulator closed and when, for comparison with a consumer's candles."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from marketdata import clock
from marketdata.simulator.klines import Kline, rest_row


class LedgerEntry(NamedTuple):
    """One event of one candle.

    `event` is `closed`, `corrected` (the values replace those before), `absent` (never a candle) or `appeared` (it was
    missing for a while). Times: `market_ms` by the exchange's clock, `wall_ms` by wall time.
    """

    event: str
    symbol: str
    open_time: int
    kline: Kline | None
    market_ms: int
    wall_ms: int

    def to_json(self) -> str:
        """One line of a ledger file; the candle in the form of GET /api/v3/klines."""
        written = self._asdict()
        written["kline"] = None if self.kline is None else rest_row(self.kline)
        return json.dumps(written)


class Ledger:
    """The list of entries, readable from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        self._entries: list[LedgerEntry] = []
        self._final: dict[str, dict[int, LedgerEntry]] = {}
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8") if path else None

    def record(self, event: str, symbol: str, open_time: int, kline: Kline | None, market_ms: int) -> LedgerEntry:
        """Add an event."""
        entry = LedgerEntry(event, symbol, open_time, kline, market_ms, clock.wall_ms())
        with self._lock:
            self._entries.append(entry)
            self._final.setdefault(symbol, {})[open_time] = entry
            if self._file:
                self._file.write(entry.to_json() + "\n")
                self._file.flush()
        return entry

    def entries(self, symbol: str | None = None) -> list[LedgerEntry]:
        """All events in order, optionally of one symbol."""
        with self._lock:
            return [entry for entry in self._entries if symbol in (None, entry.symbol)]

    def final(self, symbol: str) -> dict[int, Kline]:
        """Every closed candle of `symbol` by open time, with its current values."""
        with self._lock:
            return {t: e.kline for t, e in sorted(self._final.get(symbol, {}).items()) if e.kline is not None}

    def absent(self, symbol: str) -> list[int]:
        """Open times without a candle."""
        with self._lock:
            return sorted(t for t, e in self._final.get(symbol, {}).items() if e.kline is None)

    def __iter__(self) -> Iterator[LedgerEntry]:
        """All events in order."""
        return iter(self.entries())

    def __len__(self) -> int:
        """Number of events."""
        return len(self._entries)

    def close(self) -> None:
        """Close the file, if there is one."""
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None
