"""The simulator's candles at a given time, with candle faults applied."""

from __future__ import annotations

from typing import NamedTuple

from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.simulator.faults import Fault, FaultPlan
from marketdata.simulator.generator.candle_path import partial_kline
from marketdata.simulator.klines import Kline, Source

NEVER_STORED = ("hole", "halted")


class Change(NamedTuple):
    """A change of a closed candle at `due_ms` of market time."""

    due_ms: int
    symbol: str
    open_time: int
    event: str


class CandleView:
    """Candles of a source with the candle faults of a plan."""

    def __init__(self, source: Source, faults: FaultPlan) -> None:
        self.source = source
        self.faults = faults

    def first_open(self, symbol: str) -> int:
        """Open time of the oldest candle."""
        return self.source.first_open(symbol)

    def shown(self, symbol: str, from_ms: int, until_ms: int, now_ms: int) -> list[Kline]:
        """Candles that open in [from_ms, until_ms) as of `now_ms`; the last may still be open."""
        current = floor_open(now_ms)
        closed = self.source.klines(symbol, from_ms, min(until_ms, current)).rows()
        if self.faults.affects_candles():
            seen = (self._as_of(symbol, kline, now_ms) for kline in closed)
            closed = [kline for kline in seen if kline is not None and from_ms <= kline.open_time < until_ms]
        if from_ms <= current < until_ms:
            forming = self.forming(symbol, now_ms)
            closed.extend([forming] if forming else [])
        return closed

    def is_halted(self, symbol: str, now_ms: int) -> bool:
        """Whether trading is stopped at `now_ms`."""
        return self.faults.of_candle("halted", symbol, floor_open(now_ms)) is not None

    def forming(self, symbol: str, now_ms: int) -> Kline | None:
        """The open candle at `now_ms`, None if it will not exist."""
        current = floor_open(now_ms)
        if any(self.faults.of_candle(kind, symbol, current) for kind in (*NEVER_STORED, "late_hole")):
            return None
        rows = self.source.klines(symbol, current, current + 1).rows()
        return partial_kline(rows[0], (now_ms - current) / INTERVAL_MS, symbol) if rows else None

    def at_close(self, symbol: str, open_time: int) -> Kline | None:
        """The candle as of its close; None for a hole."""
        rows = self.source.klines(symbol, open_time, open_time + 1).rows()
        return self._as_of(symbol, rows[0], open_time + INTERVAL_MS) if rows else None

    def changes(self, symbol: str, open_time: int) -> list[Change]:
        """Later changes of a candle that closes now."""
        return [
            Change(open_time + INTERVAL_MS + _delay_ms(fault), symbol, open_time, event)
            for kind, event in (("late_hole", "appeared"), ("correction", "corrected"))
            if (fault := self.faults.of_candle(kind, symbol, open_time)) is not None
        ]

    def after(self, change: Change) -> Kline | None:
        """The candle after a change."""
        rows = self.source.klines(change.symbol, change.open_time, change.open_time + 1).rows()
        return self._as_of(change.symbol, rows[0], change.due_ms) if rows else None

    def _as_of(self, symbol: str, kline: Kline, now_ms: int) -> Kline | None:
        if any(self.faults.of_candle(kind, symbol, kline.open_time) for kind in NEVER_STORED):
            return None
        age_ms = now_ms - kline.open_time - INTERVAL_MS
        missing = self.faults.of_candle("late_hole", symbol, kline.open_time)
        if missing and age_ms < _delay_ms(missing):
            return None
        correction = self.faults.of_candle("correction", symbol, kline.open_time)
        if correction and age_ms >= _delay_ms(correction):
            kline = _corrected(kline)
        return self._deformed(symbol, kline)

    def _deformed(self, symbol: str, kline: Kline) -> Kline:
        """The candle with the faults `off_grid`, `broken_row` or `cut_short` applied."""
        if off_grid := self.faults.of_candle("off_grid", symbol, kline.open_time):
            return kline._replace(open_time=kline.open_time + _delay_ms(off_grid))
        if self.faults.of_candle("broken_row", symbol, kline.open_time):
            return kline._replace(high=kline.low, low=kline.high + 1.0)
        if cut := self.faults.of_candle("cut_short", symbol, kline.open_time):
            return kline._replace(ended=kline.open_time + _delay_ms(cut) - 1)
        return kline


def _delay_ms(fault: Fault) -> int:
    """Delay of a fault in whole milliseconds."""
    return int(fault.seconds * 1000)


def _corrected(kline: Kline) -> Kline:
    """The candle with one more trade at its high, as after a late trade report."""
    more = max(round(kline.volume * 0.01, 5), 1e-5)
    return kline._replace(
        close=kline.high,
        volume=round(kline.volume + more, 8),
        quote_volume=round(kline.quote_volume + more * kline.high, 8),
        trades=kline.trades + 1,
    )
