"""Generated candles: a pure function of (seed, symbol, open time), computed by week.

A week is a random walk with stochastic volatility (see :mod:`marketdata.simulator.generator.volatility`), bridged
between anchors that revert to the market's level over months. So any candle of any year needs the computation of one
week, consecutive weeks are continuous, and prices stay near the market's level.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from indicators.candles import EPOCH_MONDAY_MS, INTERVAL_MS, WEEK_MS
from marketdata.simulator.generator.keyed_random import autoregression, normals, uniforms
from marketdata.simulator.generator.markets import GeneratedMarket
from marketdata.simulator.generator.volatility import weekly_shocks, weekly_sigma
from marketdata.simulator.klines import CANDLES_PER_WEEK, Klines

FIRST_OPEN = 1_502_928_000_000  # 2017-08-17, the day of the real exchange's first candles
# A shift of the anchor has halved after 20 weeks and is dropped after 260.
ANCHOR_MEMORY = 0.5 ** (1 / 20)
ANCHOR_WEEKS = 260
MARKET_SHARE = 0.91  # weight of the shocks common to all markets
INTEREST = 0.99  # autocorrelation of the trading interest, per candle
AVERAGE_TRADE = 600.0  # quote currency


class CandleGenerator:
    """A source of generated candles from 2017 on without end.

    Examples
    --------
    >>> source = CandleGenerator(("BTCUSDT",), seed=1)
    >>> day = source.klines("BTCUSDT", 1_700_006_400_000, 1_700_092_800_000)
    >>> len(day.open_time), bool((day.open[1:] == day.close[:-1]).all())
    (288, True)
    """

    def __init__(self, symbols: tuple[str, ...], seed: int = 0) -> None:
        self.symbols = symbols
        self.seed = seed
        self.markets = {symbol: GeneratedMarket.of(symbol, seed) for symbol in symbols}
        self._week = lru_cache(maxsize=len(symbols) + 32)(self._generate_week)

    def first_open(self, symbol: str) -> int:  # noqa: ARG002 - the same for all
        """Open time of the oldest candle."""
        return FIRST_OPEN

    def last_open(self, symbol: str) -> int | None:  # noqa: ARG002
        """None: the source has no last candle."""
        return None

    def klines(self, symbol: str, from_ms: int, until_ms: int) -> Klines:
        """Complete candles that open in [from_ms, until_ms)."""
        from_ms = max(from_ms, FIRST_OPEN)
        if from_ms >= until_ms:
            return Klines.empty()
        weeks = range(_week_of(from_ms), _week_of(until_ms - 1) + 1)
        return Klines.joined([self._week(symbol, week) for week in weeks]).between(from_ms, until_ms)

    def _generate_week(self, symbol: str, week: int) -> Klines:
        market = self.markets[symbol]
        own, shared = weekly_shocks(self.seed, symbol, week), weekly_shocks(self.seed, "", week)
        sigma = market.sigma * weekly_sigma(self.seed, symbol, week)
        steps = sigma * (MARKET_SHARE * shared + np.sqrt(1 - MARKET_SHARE**2) * own)
        boundary = self._walk(market, week, steps, sigma)
        prices = np.round(market.level * np.exp(boundary), market.price_digits)
        opens, closes = prices[:-1], prices[1:]
        highs, lows = self._extremes(market, week, opens, closes, sigma)
        columns = self._activity(market, week, opens, highs, lows, closes, sigma)
        open_time = week * WEEK_MS + EPOCH_MONDAY_MS + INTERVAL_MS * np.arange(CANDLES_PER_WEEK, dtype=np.int64)
        return Klines(open_time, opens, highs, lows, closes, *columns)

    def _walk(
        self, market: GeneratedMarket, week: int, steps: NDArray[np.float64], sigma: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Log of price over level at the 2,017 boundaries of the week's candles."""
        walked = np.concatenate([[0.0], np.cumsum(steps)])
        elapsed = np.concatenate([[0.0], np.cumsum(sigma**2)])
        begin, end = self._anchor(market, week), self._anchor(market, week + 1)
        bridge: NDArray[np.float64] = begin + walked + (end - begin - walked[-1]) * elapsed / elapsed[-1]
        bridge[-1] = end  # exactly, or the next week would open with a rounding error
        return bridge

    def _anchor(self, market: GeneratedMarket, week: int) -> float:
        weights = ANCHOR_MEMORY ** np.arange(ANCHOR_WEEKS)
        shared = _weekly(self.seed, "", "anchor", week)
        own = _weekly(self.seed, market.symbol, "anchor", week)
        moves = MARKET_SHARE * shared + np.sqrt(1 - MARKET_SHARE**2) * own
        return float(market.sigma * np.sqrt(CANDLES_PER_WEEK) * (weights @ moves))

    def _extremes(
        self,
        market: GeneratedMarket,
        week: int,
        opens: NDArray[np.float64],
        closes: NDArray[np.float64],
        sigma: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Highs and lows of a Brownian bridge from open to close, by inverting their distribution."""
        move = np.log(closes / opens)
        drawn = uniforms(2 * CANDLES_PER_WEEK, self.seed, market.symbol, "extremes", week)
        reach = np.sqrt(move**2 - 2 * sigma**2 * np.log(drawn.reshape(2, -1)))
        highs = np.round(opens * np.exp((move + reach[0]) / 2), market.price_digits)
        lows = np.round(opens * np.exp((move - reach[1]) / 2), market.price_digits)
        tick = 10.0**-market.price_digits
        return np.maximum(highs, np.maximum(opens, closes)), np.maximum(
            np.minimum(lows, np.minimum(opens, closes)), tick
        )

    def _activity(
        self,
        market: GeneratedMarket,
        week: int,
        opens: NDArray[np.float64],
        highs: NDArray[np.float64],
        lows: NDArray[np.float64],
        closes: NDArray[np.float64],
        sigma: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Volume, quote volume, trades and taker volumes, increasing with volatility."""
        random_normals = normals(4 * CANDLES_PER_WEEK, self.seed, market.symbol, "activity", week).reshape(4, -1)
        log_volatility = np.log(sigma / market.sigma)
        # Trading interest varies over hours, independently of prices.
        interest = autoregression(np.sqrt(1 - INTEREST**2) * random_normals[3], INTEREST)
        spread = np.log((np.log(highs / lows) + 0.1 * sigma) / sigma) - 0.4
        turnover = market.median_quote_volume * np.exp(
            0.9 * log_volatility + 0.5 * spread + 0.2 * random_normals[0] + 0.5 * interest
        )
        volume = np.round(turnover / closes, market.lot_digits)
        typical = (opens + highs + lows + closes) / 4
        quote_volume = np.round(volume * typical, 4)
        trades = np.where(volume > 0, np.maximum(1, turnover / AVERAGE_TRADE * np.exp(0.2 * random_normals[1])), 0)
        share = np.clip(0.5 + 0.024 * np.log(closes / opens) / sigma + 0.04 * random_normals[2], 0.03, 0.97)
        bought = np.minimum(np.round(volume * share, market.lot_digits), volume)
        bought_quote = np.round(bought * typical, 4)
        return volume, quote_volume, np.minimum(trades, 999_999).astype(np.int64), bought, bought_quote


def _week_of(at_ms: int) -> int:
    return (at_ms - EPOCH_MONDAY_MS) // WEEK_MS


def _weekly(seed: int, symbol: str, purpose: str, week: int) -> NDArray[np.float64]:
    """One normal number per week, from this week backwards."""
    wanted = np.arange(week, week - ANCHOR_WEEKS, -1)
    return np.concatenate(
        [_weekly_block(seed, symbol, purpose, block) for block in range(week // 512 - 1, week // 512 + 1)]
    )[wanted - 512 * (week // 512 - 1)]


@lru_cache(maxsize=4096)
def _weekly_block(seed: int, symbol: str, purpose: str, block: int) -> NDArray[np.float64]:
    return normals(512, seed, symbol, purpose, block)
