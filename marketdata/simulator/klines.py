"""Candles of the simulator as columns and rows, and their REST and stream formats.

The values are floats already rounded to tick and lot; they are formatted as decimal strings only here.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from indicators.candles import WEEK_MS
from marketdata.intervals import INTERVAL, INTERVAL_MS

CANDLES_PER_WEEK = WEEK_MS // INTERVAL_MS
# Far above the trades of any candle, so that trade ids increase with time without counting from the beginning.
TRADE_IDS_PER_CANDLE = 1_000_000


class Kline(NamedTuple):
    """One candle; the taker columns are the part bought by takers; a halt sets `ended`."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_base: float
    taker_buy_quote: float
    ended: int | None = None


class Klines(NamedTuple):
    """The same columns for a span of candles, oldest first; missing candles have no row."""

    open_time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    quote_volume: NDArray[np.float64]
    trades: NDArray[np.int64]
    taker_buy_base: NDArray[np.float64]
    taker_buy_quote: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Klines:
        """Columns without candles."""
        whole = np.zeros(0, dtype=np.int64)
        real = np.zeros(0)
        return cls(whole, real, real, real, real, real, real, whole, real, real)

    @classmethod
    def joined(cls, parts: list[Klines]) -> Klines:
        """Concatenation of spans."""
        if not parts:
            return cls.empty()
        return cls._make(np.concatenate(columns) for columns in zip(*parts, strict=True))

    def between(self, from_ms: int, until_ms: int) -> Klines:
        """Candles that open at or after `from_ms` and before `until_ms`."""
        first, last = np.searchsorted(self.open_time, [from_ms, until_ms])
        return Klines._make(column[first:last] for column in self)

    def rows(self) -> list[Kline]:
        """One :class:`Kline` per candle, with Python numbers."""
        return [Kline(*row) for row in zip(*(column.tolist() for column in self), strict=True)]


class Source(Protocol):
    """Interface of a source of candles: replayed files or generated candles."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that have candles."""

    def klines(self, symbol: str, from_ms: int, until_ms: int) -> Klines:
        """Complete candles of [from_ms, until_ms), independent of the current time."""

    def first_open(self, symbol: str) -> int:
        """Open time of the oldest candle."""

    def last_open(self, symbol: str) -> int | None:
        """Open time of the last candle, None if the source has no end."""


def places8(value: float) -> str:
    """A number in the exchange's format of prices and quantities, with 8 places.

    Examples
    --------
    >>> places8(32206.08)
    '32206.08000000'
    """
    return f"{value:.8f}"


def rest_row(kline: Kline, span_ms: int = INTERVAL_MS) -> list[Any]:
    """The twelve fields of one row of GET /api/v3/klines.

    Examples
    --------
    >>> rest_row(Kline(0, 1.0, 2.0, 0.5, 1.5, 10.0, 12.0, 3, 4.0, 5.0))[:6]
    [0, '1.00000000', '2.00000000', '0.50000000', '1.50000000', '10.00000000']
    """
    return [
        kline.open_time,
        places8(kline.open),
        places8(kline.high),
        places8(kline.low),
        places8(kline.close),
        places8(kline.volume),
        kline.open_time + span_ms - 1 if kline.ended is None else kline.ended,
        places8(kline.quote_volume),
        kline.trades,
        places8(kline.taker_buy_base),
        places8(kline.taker_buy_quote),
        "0",
    ]


def stream_event(symbol: str, kline: Kline, event_ms: int, *, is_closed: bool) -> dict[str, Any]:
    """A message of stream `<symbol>@kline_5m`.

    As on the exchange, `f` and `L` are -1 in a candle without trades.
    """
    first_trade = kline.open_time // INTERVAL_MS * TRADE_IDS_PER_CANDLE
    return {
        "e": "kline",
        "E": event_ms,
        "s": symbol,
        "k": {
            "t": kline.open_time,
            "T": kline.open_time + INTERVAL_MS - 1 if kline.ended is None else kline.ended,
            "s": symbol,
            "i": INTERVAL,
            "f": first_trade if kline.trades else -1,
            "L": first_trade + kline.trades - 1 if kline.trades else -1,
            "o": places8(kline.open),
            "c": places8(kline.close),
            "h": places8(kline.high),
            "l": places8(kline.low),
            "v": places8(kline.volume),
            "n": kline.trades,
            "x": is_closed,
            "q": places8(kline.quote_volume),
            "V": places8(kline.taker_buy_base),
            "Q": places8(kline.taker_buy_quote),
            "B": "0",
        },
    }
