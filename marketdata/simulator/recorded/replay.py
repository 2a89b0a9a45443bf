"""Replay of recorded candles, shifted by whole weeks to the present."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from indicators.candles import WEEK_MS
from marketdata import clock
from marketdata.errors import UnknownSymbol
from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.klines import CANDLES_PER_WEEK, Klines
from marketdata.simulator.recorded.candle_files import UnreadableCandles, read_files

LIVE_PART = 0.2  # share of a file that is live without a given start


class Replay:
    """A source of candles from files; those before the start are history.

    The files are shifted by whole weeks, so time of day and weekday are preserved and the market clock is up to a week
    behind the wall clock: the largest shift is used that does not put the start into the future.

    Parameters
    ----------
    candles : dict
        Candles by symbol, at their recorded times.
    start_ms : int, optional
        Recorded time from which candles are live; by default the last fifth of the files is.
    anchor_ms : int, optional
        Wall time the start is shifted to: now, or the time of the first start to continue an earlier replay.
    then_invent : bool
        Continue with generated candles after the last recorded one, from its price.
    seed : int
        Seed of the generated candles.

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
        self._generator = CandleGenerator(self.symbols, seed) if then_invent else None
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
        """Replay of the given files, optionally restricted to `symbols`."""
        candles = read_files(paths)
        if absent := [symbol for symbol in symbols if symbol not in candles]:
            raise UnknownSymbol(f"there is no file for {', '.join(absent)}; there are {', '.join(candles)}")
        kept = {symbol: candles[symbol] for symbol in symbols or candles}
        return cls(kept, start_ms=start_ms, anchor_ms=anchor_ms, then_invent=then_invent, seed=seed)

    def first_open(self, symbol: str) -> int:
        """Shifted open time of the oldest candle."""
        return int(self._candles[symbol].open_time[0])

    def last_open(self, symbol: str) -> int | None:
        """Shifted open time of the last recorded candle; None if generated ones follow."""
        return None if self._generator else int(self._candles[symbol].open_time[-1])

    def klines(self, symbol: str, from_ms: int, until_ms: int) -> Klines:
        """Recorded candles of [from_ms, until_ms), followed by generated ones if enabled."""
        recorded = self._candles[symbol].between(from_ms, until_ms)
        end = int(self._candles[symbol].open_time[-1]) + INTERVAL_MS
        if self._generator is None or until_ms <= end:
            return recorded
        prices, turnover = self._scales[symbol]
        digits = self._generator.markets[symbol].price_digits
        generated = self._generator.klines(symbol, max(from_ms, end), until_ms)
        moved = [np.round(column * prices, digits) for column in generated[1:5]]
        volumes = [np.round(column * turnover / prices, 5) for column in (generated.volume, generated.taker_buy_base)]
        quotes = [np.round(column * turnover, 4) for column in (generated.quote_volume, generated.taker_buy_quote)]
        onward = Klines._make(
            (generated.open_time, *moved, volumes[0], quotes[0], generated.trades, volumes[1], quotes[1])
        )
        return Klines.joined([recorded, onward])

    def _scale(self, symbol: str) -> tuple[float, float]:
        """Ratios of the file's last price and turnover to those of the generated candles."""
        recorded = self._candles[symbol]
        end = int(recorded.open_time[-1]) + INTERVAL_MS
        assert self._generator is not None
        ahead = self._generator.klines(symbol, end, end + INTERVAL_MS)
        turnover = float(np.median(recorded.quote_volume[-CANDLES_PER_WEEK:]))
        usual = self._generator.markets[symbol].median_quote_volume
        return float(recorded.close[-1] / ahead.open[0]), turnover / usual if turnover > 0 else 1.0
