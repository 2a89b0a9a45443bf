"""What can go wrong between the exchange and the candle table."""

from collections.abc import Collection
from datetime import UTC, datetime

from indicators.errors import MLEngineError


class MarketDataError(MLEngineError):
    """Candles could not be read, fetched or stored."""


class MalformedCandle(MarketDataError):
    """A row or message that breaks a rule every candle obeys; it is quarantined, never stored."""

    raw: object = None
    """What came, where the reason alone does not show it."""


class ExchangeUnavailable(MarketDataError):
    """The exchange did not answer, or answered with something that is not an answer."""


class ExchangeBanned(ExchangeUnavailable):
    """The exchange told this address to be silent until `until_ms` (wall time, ms)."""

    def __init__(self, until_ms: int, message: str = "") -> None:
        until = datetime.fromtimestamp(until_ms / 1000, UTC)
        super().__init__(message or f"the exchange asked for silence until {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until_ms = until_ms


class UnreadableAnswer(ExchangeUnavailable):
    """Something came that is no answer of the exchange; `raw` is its beginning."""

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


class UnknownSymbol(MarketDataError):
    """A symbol no market of this engine has."""


MOST_LISTED = 20
"""Symbols that one sentence lists."""


def no_market(symbol: str, known: Collection[str]) -> str:
    """The sentence about a symbol no market has, with those that are known.

    >>> no_market("NOPE", ["ETHUSDT", "BTCUSDT"])
    "No market of this engine has the symbol 'NOPE'; write one of BTCUSDT, ETHUSDT."
    """
    listed = sorted(set(known))
    more = f" and {len(listed) - MOST_LISTED} more of /markets" if len(listed) > MOST_LISTED else ""
    advice = f"; write one of {', '.join(listed[:MOST_LISTED])}{more}" if listed else ""
    return f"No market of this engine has the symbol {symbol[:20]!r}{advice}."


class MarketDisabled(MarketDataError):
    """The market is known and switched off."""
