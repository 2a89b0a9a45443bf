"""Recorded candles, moved by whole weeks to today: before the start they are history, from it they close one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marketdata import clock
from marketdata.errors import UnknownSymbol
from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.simulator.candle_files import UnreadableCandles, read_files
from marketdata.simulator.invention import Invention
from marketdata.simulator.klines import CANDLES_PER_WEEK, WEEK_MS, Klines

LIVE_PART = 0.2  # of a file is played live if nobody says from where


class Replay:
    """A source that shows files.

    Time of day and weekday stay true, so the files are moved by whole weeks and the market clock is up to a week
    behind the wall clock: the largest shift is taken that does not put the start into the future.

    Parameters
    ----------
    candles : dict
        Candles by symbol, at their recorded times.
    start_ms : int, optional
        Recorded time of the first moment that is live; without it, the last fifth of the files is.
    anchor_ms : int, optional
        Wall time the start is moved to; now, or the moment of the first start to continue an earlier replay.
    then_invent : bool
        Go on with invented candles after the last recorded one, from its price.
    seed : int
        Of those.

    Raises
    ------
    UnreadableCandles
        If the start is not within the files.

    Notes
    -----
    Holes in a file stay holes.
    """

    def __init__(
        self,
        candles: dict[str, Klines],
        *,
        start_ms: int | None = None,
        anchor_ms: int | None = None,
        then_invent: bool = False,
        seed: int = 0,
    ) -> None:
        self.symbols = tuple(candles)
        first = min(int(klines.open_time[0]) for klines in candles.values())
        end = max(int(klines.open_time[-1]) for klines in candles.values()) + INTERVAL_MS
        self.start_ms = int(end - LIVE_PART * (end - first)) if start_ms is None else start_ms
        self.start_ms = self.start_ms if start_ms is not None else floor_open(self.start_ms)
        if not first <= self.start_ms < end:
            raise UnreadableCandles(f"the start {clock.to_datetime(self.start_ms)} is not within the recorded candles")
        anchor_ms = clock.wall_ms() if anchor_ms is None else anchor_ms
        self.shift_ms = (anchor_ms - self.start_ms) // WEEK_MS * WEEK_MS
        self.begin_ms = self.start_ms + self.shift_ms
        self._candles = {
            symbol: klines._replace(open_time=klines.open_time + self.shift_ms) for symbol, klines in candles.items()
        }
        self._invention = Invention(self.symbols, seed) if then_invent else None
        self._scales = {symbol: self._scale(symbol) for symbol in self.symbols} if then_invent else {}

    @classmethod
    def of_files(
        cls,
        paths: list[Path],
        *,
        symbols: tuple[str, ...] = (),
        start_ms: int | None = None,
        anchor_ms: int | None = None,
        then_invent: bool = False,
        seed: int = 0,
    ) -> Replay:
        """Read the files and keep `symbols` of them, or all."""
        candles = read_files(paths)
        if absent := [symbol for symbol in symbols if symbol not in candles]:
            raise UnknownSymbol(f"there is no file for {', '.join(absent)}; there are {', '.join(candles)}")
        kept = {symbol: candles[symbol] for symbol in symbols or candles}
        return cls(kept, start_ms=start_ms, anchor_ms=anchor_ms, then_invent=then_invent, seed=seed)

    def first_open(self, symbol: str) -> int:
        """Open time of the oldest candle, moved."""
        return int(self._candles[symbol].open_time[0])

    def last_open(self, symbol: str) -> int | None:
        """Open time of the last recorded candle, moved; None if invention goes on after it."""
        return None if self._invention else int(self._candles[symbol].open_time[-1])

    def klines(self, symbol: str, from_ms: int, until_ms: int) -> Klines:
        """Recorded candles of [from_ms, until_ms), then invented ones if they go on."""
        recorded = self._candles[symbol].between(from_ms, until_ms)
        end = int(self._candles[symbol].open_time[-1]) + INTERVAL_MS
        if self._invention is None or until_ms <= end:
            return recorded
        prices, turnover = self._scales[symbol]
        digits = self._invention.markets[symbol].price_digits
        invented = self._invention.klines(symbol, max(from_ms, end), until_ms)
        moved = [np.round(column * prices, digits) for column in invented[1:5]]
        volumes = [np.round(column * turnover / prices, 5) for column in (invented.volume, invented.taker_buy_base)]
        quotes = [np.round(column * turnover, 4) for column in (invented.quote_volume, invented.taker_buy_quote)]
        onward = Klines._make(
            (invented.open_time, *moved, volumes[0], quotes[0], invented.trades, volumes[1], quotes[1])
        )
        return Klines.joined([recorded, onward])

    def _scale(self, symbol: str) -> tuple[float, float]:
        """How much higher prices and turnover are in the file than where invention would go on."""
        recorded = self._candles[symbol]
        end = int(recorded.open_time[-1]) + INTERVAL_MS
        assert self._invention is not None
        ahead = self._invention.klines(symbol, end, end + INTERVAL_MS)
        turnover = float(np.median(recorded.quote_volume[-CANDLES_PER_WEEK:]))
        usual = self._invention.markets[symbol].median_quote_volume
        return float(recorded.close[-1] / ahead.open[0]), turnover / usual if turnover > 0 else 1.0
