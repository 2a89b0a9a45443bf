"""The simulated exchange without network: closes candles and creates stream messages.

It advances only by `step`, which takes the time and returns messages, so the same venue can be run by a server in real
time or by a test, candle by candle.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.simulator.faults import FaultPlan
from marketdata.simulator.klines import Kline, Source, stream_event
from marketdata.simulator.ledger import Ledger
from marketdata.simulator.market_clock import MarketClock
from marketdata.simulator.visible_candles import CandleView, Change


class Message(NamedTuple):
    """One frame for the subscribers of a symbol: an event, or raw text."""

    symbol: str
    event: dict[str, Any] | str


class Venue:
    """A simulated exchange: candles, clock, ledger and faults."""

    def __init__(self, source: Source, market_clock: MarketClock, faults: FaultPlan, ledger: Ledger) -> None:
        self.source = source
        self.symbols = source.symbols
        self.clock = market_clock
        self.faults = faults
        self.ledger = ledger
        self.candles = CandleView(source, faults)
        self.next_close_ms = floor_open(market_clock.begin_ms) + INTERVAL_MS
        self._late: list[tuple[int, int, Message]] = []
        self._changes: list[Change] = []
        self._order = 0

    def step(self, now_ms: int) -> list[Message]:
        """Close the candles due at `now_ms` and return their messages in order."""
        messages: list[Message] = []
        while self.next_close_ms <= now_ms and not self.has_ended():
            open_time = self.next_close_ms - INTERVAL_MS
            self.next_close_ms += INTERVAL_MS
            for symbol in self.symbols:
                messages += self._close(symbol, open_time, now_ms)
        while self._late and self._late[0][0] <= now_ms:
            messages.append(heapq.heappop(self._late)[2])
        while self._changes and self._changes[0].due_ms <= now_ms:
            change = heapq.heappop(self._changes)
            self.ledger.record(change.event, change.symbol, change.open_time, self.candles.after(change), now_ms)
        return messages

    def forming(self, now_ms: int) -> list[Message]:
        """One message for each candle that is open at `now_ms`."""
        shown = ((symbol, self.candles.forming(symbol, now_ms)) for symbol in self.symbols)
        return [Message(s, stream_event(s, kline, now_ms, is_closed=False)) for s, kline in shown if kline is not None]

    def next_due(self, now_ms: int) -> int | None:
        """Next market time at which :meth:`step` or a fault is due, or None."""
        moments = [self.faults.next_moment(now_ms)]
        moments += [] if self.has_ended() else [self.next_close_ms]
        moments += [self._late[0][0]] if self._late else []
        moments += [self._changes[0].due_ms] if self._changes else []
        return min((moment for moment in moments if moment is not None), default=None)

    def has_ended(self) -> bool:
        """Whether the last candle of every symbol has closed."""
        lasts = [self.source.last_open(symbol) for symbol in self.symbols]
        return all(last is not None and last < self.next_close_ms - INTERVAL_MS for last in lasts)

    def _close(self, symbol: str, open_time: int, now_ms: int) -> list[Message]:
        kline = self.candles.at_close(symbol, open_time)
        self.ledger.record("closed" if kline else "absent", symbol, open_time, kline, now_ms)
        for change in self.candles.changes(symbol, open_time):
            heapq.heappush(self._changes, change)
        if kline is None or self._is_triggered("unsent", symbol, open_time):
            return []
        closing = Message(symbol, stream_event(symbol, kline, now_ms, is_closed=True))
        if late := self.faults.trigger(("late_close",), open_time, symbol):
            self._order += 1
            due_ms = open_time + INTERVAL_MS + int(late.seconds * 1000)
            heapq.heappush(self._late, (due_ms, self._order, closing))
            return []
        return self._with_faults(symbol, open_time, kline, now_ms, closing)

    def _with_faults(self, symbol: str, open_time: int, kline: Kline, now_ms: int, closing: Message) -> list[Message]:
        """The closing message with the messages that faults add before and after it."""
        still_open = Message(symbol, stream_event(symbol, kline, now_ms, is_closed=False))
        before: list[Message] = []
        if self._is_triggered("garbled", symbol, open_time):
            before.append(Message(symbol, '{"e":"kline","E":'))
        if burst := self.faults.trigger(("burst",), open_time, symbol):
            before += [still_open] * burst.count
        after = [closing] if self._is_triggered("duplicate", symbol, open_time) else []
        if repeats := self.faults.trigger(("repeats",), open_time, symbol):
            after += [closing] * repeats.count
        after += [still_open] if self._is_triggered("reorder", symbol, open_time) else []
        return [*before, closing, *after]

    def _is_triggered(self, kind: str, symbol: str, open_time: int) -> bool:
        return self.faults.trigger((kind,), open_time, symbol) is not None
