"""One page of GET /api/v3/klines, optionally with a fault."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.klines import Kline, rest_row
from marketdata.simulator.visible_candles import CandleView

WRONG_PAGE_SHIFT_MS = 7 * INTERVAL_MS


@dataclass(frozen=True)
class Page:
    """A request for candles from a start on, or the newest up to an end."""

    symbol: str
    span_ms: int
    start_ms: int | None
    end_ms: int | None
    limit: int

    def rows(self, candles: CandleView, now_ms: int, fault: str = "") -> list[list[Any]]:
        """The rows in the exchange's format; `fault` is the kind of fault to apply."""
        klines = self._klines(candles, now_ms - WRONG_PAGE_SHIFT_MS if fault == "wrong_page" else now_ms, fault)
        if fault == "open_candle" and (forming := candles.forming(self.symbol, now_ms)) and klines[-1:] != [forming]:
            klines.append(forming)
        rows = [rest_row(kline, self.span_ms) for kline in klines]
        if fault == "unsorted":
            rows.reverse()
        elif fault == "repeated":
            rows = [row for row in rows for _ in range(2)]
        elif fault == "microseconds":
            rows = [[row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]] for row in rows]
        return rows

    def _klines(self, candles: CandleView, now_ms: int, fault: str) -> list[Kline]:
        newest_end = now_ms - now_ms % self.span_ms + self.span_ms
        until = newest_end if self.end_ms is None else min(newest_end, self.end_ms + 1)
        begin = max(0, candles.first_open(self.symbol))
        if self.start_ms is not None:
            shift = WRONG_PAGE_SHIFT_MS if fault == "wrong_page" else 0
            begin = max(begin, self.start_ms - shift)
            begin = -(-begin // self.span_ms) * self.span_ms
            return self._from(candles, begin, until - shift, now_ms)
        return self._newest(candles, begin, until, now_ms)

    def _from(self, candles: CandleView, begin: int, until: int, now_ms: int) -> list[Kline]:
        """The first candles at or after `begin`, skipping holes of any length."""
        found: list[Kline] = []
        while begin < until and len(found) < self.limit:
            stretch = min(until, begin + self.limit * self.span_ms)
            found += self._spans(candles, begin, stretch, now_ms)
            begin = stretch
        return found[: self.limit]

    def _newest(self, candles: CandleView, begin: int, until: int, now_ms: int) -> list[Kline]:
        found: list[Kline] = []
        until = -(-until // self.span_ms) * self.span_ms
        while begin < until and len(found) < self.limit:
            stretch = max(begin, until - self.limit * self.span_ms)
            found = self._spans(candles, stretch, until, now_ms) + found
            until = stretch
        return found[-self.limit :]

    def _spans(self, candles: CandleView, begin: int, until: int, now_ms: int) -> list[Kline]:
        # The last span is complete even where `until` lies inside it: endTime refers to opens.
        until = -(-until // self.span_ms) * self.span_ms
        klines = candles.shown(self.symbol, begin, until, now_ms)
        if self.span_ms == INTERVAL_MS:
            return klines
        by_span = groupby(klines, key=lambda kline: kline.open_time // self.span_ms * self.span_ms)
        return [_merged(open_time, list(parts)) for open_time, parts in by_span]


def _merged(open_time: int, parts: list[Kline]) -> Kline:
    """Combine several candles into a longer one."""
    return Kline(
        open_time,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        round(sum(part.volume for part in parts), 8),
        round(sum(part.quote_volume for part in parts), 8),
        sum(part.trades for part in parts),
        round(sum(part.taker_buy_base for part in parts), 8),
        round(sum(part.taker_buy_quote for part in parts), 8),
    )
