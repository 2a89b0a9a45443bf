"""Constants of generated markets: price level, volatility, turnover and tick sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marketdata.simulator.generator.keyed_random import uniform

# Level in quote currency, standard deviation of a 5-minute return, median quote volume of 5 minutes.
KNOWN = {
    "BTCUSDT": (95_000.0, 0.00105, 4_900_000.0),
    "ETHUSDT": (3_400.0, 0.00132, 2_600_000.0),
    "BNBUSDT": (650.0, 0.00135, 550_000.0),
    "SOLUSDT": (180.0, 0.00210, 1_100_000.0),
    "XRPUSDT": (2.2, 0.00200, 900_000.0),
    "DOGEUSDT": (0.21, 0.00230, 600_000.0),
    "ADAUSDT": (0.75, 0.00220, 250_000.0),
}
QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")


@dataclass(frozen=True)
class GeneratedMarket:
    """The constants of one symbol.

    Examples
    --------
    >>> market = GeneratedMarket.of("BTCUSDT", seed=1)
    >>> market.base, market.quote, market.price_digits, market.lot_digits
    ('BTC', 'USDT', 2, 5)
    """

    symbol: str
    level: float
    sigma: float
    median_quote_volume: float

    @classmethod
    def of(cls, symbol: str, seed: int) -> GeneratedMarket:
        """Constants of `symbol`: fixed for well-known symbols, derived from the seed for others."""
        if symbol in KNOWN:
            return cls(symbol, *KNOWN[symbol])
        level = 10.0 ** (3.0 * uniform(seed, symbol, "level") - 1.0)
        sigma = 0.0015 + 0.0015 * uniform(seed, symbol, "sigma")
        return cls(symbol, level, sigma, 10.0 ** (4.3 + 1.5 * uniform(seed, symbol, "turnover")))

    @property
    def price_digits(self) -> int:
        """Decimals of a price, so that a tick is about 0.1 to 1 basis points."""
        return min(8, max(2, 4 - math.floor(math.log10(self.level))))

    @property
    def lot_digits(self) -> int:
        """Decimals of a quantity: a lot is worth about one unit of the quote currency."""
        return min(8, max(0, round(math.log10(self.level))))

    @property
    def quote(self) -> str:
        """The quote asset."""
        return next((quote for quote in QUOTES if self.symbol.endswith(quote) and self.symbol != quote), "USDT")

    @property
    def base(self) -> str:
        """The base asset."""
        return self.symbol.removesuffix(self.quote)
