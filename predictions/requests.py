"""Validation of request fields: symbol, horizon, side and prices."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings

from marketdata import clock
from marketdata.errors import MarketDisabled, unknown_symbol_message
from marketdata.models import Market
from marketdata.process_state import process_state
from marketdata.services import enabled_symbols
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.kinds import RANGE
from predictions.errors import InvalidRequest

MAX_PRICE = Decimal(10) ** 12
PLACES = Decimal(1).scaleb(-8)
MAX_PRICES = 1000
MARKET_CACHE_SECONDS = 1.0


class EnabledMarkets:
    """Enabled markets by symbol, as read a moment ago."""

    def __init__(self) -> None:
        self.read_at = float("-inf")
        self.by_symbol: dict[str, Market] = {}


def known_market(symbol: Any) -> Market:
    """Find the enabled market of a symbol.

    Raises
    ------
    InvalidRequest
        If no market has that symbol.
    MarketDisabled
        If the market is switched off.
    """
    if not isinstance(symbol, str) or len(symbol) > 20:
        raise InvalidRequest({"symbol": ["Write a symbol such as BTCUSDT."]})
    found = sorted(Market.objects.filter(symbol=symbol), key=lambda market: not market.enabled)
    if not found:
        raise InvalidRequest({"symbol": [unknown_symbol_message(symbol, enabled_symbols())]})
    if not found[0].enabled:
        raise MarketDisabled(f"{symbol} is switched off")
    return found[0]


def cached_market(symbol: str) -> Market | None:
    """Enabled market of a symbol, at most a second old; None if not cached."""
    known = process_state.of(EnabledMarkets)
    if not 0 <= clock.monotonic() - known.read_at < MARKET_CACHE_SECONDS:
        known.by_symbol = {market.symbol: market for market in Market.objects.enabled()}
        known.read_at = clock.monotonic()
    return known.by_symbol.get(symbol)


def known_horizon(horizon: Any, ensemble: Ensemble | None, kind: str = RANGE) -> int:
    """Check a horizon against those the champion serves, or the defaults without a champion.

    Raises
    ------
    InvalidRequest
        If it is not one of them.
    """
    served = served_horizons(ensemble, kind)
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon not in served:
        raise InvalidRequest({"horizon": [f"Write one of {', '.join(map(str, served))}."]})
    return horizon


def served_horizons(ensemble: Ensemble | None, kind: str = RANGE) -> tuple[int, ...]:
    """Horizons served at the moment; the defaults without a champion."""
    if ensemble is None or kind not in ensemble.estimators:
        return tuple(settings.DEFAULT_HORIZONS)
    return ensemble.estimators[kind].horizons


def known_side(side: Any) -> str:
    """Check that a side is buy or sell."""
    if side not in {"buy", "sell"}:
        raise InvalidRequest({"side": ["Write buy or sell."]})
    return str(side)


def known_price(value: Any, name: str) -> Decimal:
    """Parse a price given as a string or a number, rounded to stored places.

    Raises
    ------
    InvalidRequest
        If it is not a positive finite number below 10^12.

    Examples
    --------
    >>> known_price("67000.5", "take_profit")
    Decimal('67000.50000000')
    """
    texts = [f"Write a price above 0 and below {MAX_PRICE:,}, as a number or a string."]
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal) or len(str(value)) > 40:
        raise InvalidRequest({name: texts})
    try:
        price = Decimal(str(value).strip() if isinstance(value, str) else str(value))
        within = price.is_finite() and 0 < price < MAX_PRICE
        rounded = price.quantize(PLACES) if within else Decimal(0)
    except (InvalidOperation, ValueError) as error:
        raise InvalidRequest({name: texts}) from error
    if rounded <= 0:
        raise InvalidRequest({name: texts})
    return rounded


def known_prices(values: Any) -> list[Decimal]:
    """Parse a list of prices."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or not 1 <= len(values) <= MAX_PRICES:
        raise InvalidRequest({"prices": [f"Write a list of 1 to {MAX_PRICES} prices."]})
    return [known_price(value, "prices") for value in values]


def check_side_of_close(price: Decimal, close: float, above: bool, name: str) -> None:
    """Raise if a level is on the wrong side of the close."""
    if (price > Decimal(f"{close:.8f}")) is not above or price == Decimal(f"{close:.8f}"):
        where = "above" if above else "below"
        raise InvalidRequest({name: [f"Write a price {where} the close, which is {close:.8f}."]})
