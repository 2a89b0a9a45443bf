"""Errors of market data."""

from collections.abc import Collection
from datetime import UTC, datetime

from indicators.errors import MLEngineError


class MarketDataError(MLEngineError):
    """Candles could not be read, fetched or stored."""


class MalformedCandle(MarketDataError):
    """A row or message that breaks a rule of candles; it is quarantined, never stored."""

    raw: object = None
    """The raw input, where the reason alone does not show it."""


class ExchangeUnavailable(MarketDataError):
    """The exchange did not respond, or its response was invalid."""


class ExchangeBanned(ExchangeUnavailable):
    """The exchange banned this address until `until_ms` (wall time, ms)."""

    def __init__(self, until_ms: int, message: str = "") -> None:
        until = datetime.fromtimestamp(until_ms / 1000, UTC)
        super().__init__(message or f"the exchange banned this address until {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until_ms = until_ms


class UnreadableAnswer(ExchangeUnavailable):
    """A response that is not one of the exchange; `raw` are its first bytes."""

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


class UnknownSymbol(MarketDataError):
    """A symbol that belongs to no market of this engine."""


MAX_LISTED = 20
"""Maximum number of symbols in one message."""


def unknown_symbol_message(symbol: str, known: Collection[str]) -> str:
    """Error message about an unknown symbol, with the known ones.

    >>> unknown_symbol_message("NOPE", ["ETHUSDT", "BTCUSDT"])
    "No market of this engine has the symbol 'NOPE'; write one of BTCUSDT, ETHUSDT."
    """
    listed = sorted(set(known))
    more = f" and {len(listed) - MAX_LISTED} more of /markets" if len(listed) > MAX_LISTED else ""
    advice = f"; write one of {', '.join(listed[:MAX_LISTED])}{more}" if listed else ""
    return f"No market of this engine has the symbol {symbol[:20]!r}{advice}."


class MarketDisabled(MarketDataError):
    """The market is known and disabled."""
