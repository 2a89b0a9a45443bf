"""Synthetic candles in the database; apart from `invented`, which worker processes import without Django."""

from decimal import Decimal

from marketdata import services
from marketdata.exchange.parsing import CandleRow
from marketdata.storage.candles import save_candles
from tests.candle_copies import store_once
from tests.modelregistry import invented


def market(candles, seed):
    """Store candles of the simulated market AUSDT; returns their open times."""
    (market,) = services.seed_markets(["AUSDT"], "simulated")
    made = invented.grid(candles, seed=seed)

    def store():
        columns = [getattr(made, name)[0] for name in ("open", "high", "low", "close")]
        rows = [
            CandleRow(int(at), *(Decimal(f"{price:.8f}") for price in prices), Decimal(1))
            for at, *prices in zip(made.open_time, *columns, strict=True)
        ]
        save_candles(market, rows, "import")

    store_once(market, (candles, seed), store)
    return made.open_time
