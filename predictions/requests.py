"""Judging what a caller asks for: symbol, horizon, side and prices, each with a sentence when it is wrong."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings

from marketdata import clock
from marketdata.errors import MarketDisabled, unknown_symbol_message
from marketdata.models import Market
from marketdata.services import enabled_symbols
from modelregistry.estimators.ensemble import Ensemble
from predictions.errors import InvalidRequest

HIGHEST_PRICE = Decimal(10) ** 12
PLACES = Decimal(1).scaleb(-8)
MOST_PRICES = 1000
REMEMBERED_SECONDS = 1.0

_directory: dict[str, Any] = {"read_at": None, "markets": {}}


def known_market(symbol: Any) -> Market:
    """Find the enabled market of a symbol.

    Raises
    ------
    InvalidRequest
        If no market has that symbol.
    MarketDisabled
        If one has, and it is switched off.
    """
    if not isinstance(symbol, str) or len(symbol) > 20:
        raise InvalidRequest({"symbol": ["Write a symbol such as BTCUSDT."]})
    found = sorted(Market.objects.filter(symbol=symbol), key=lambda market: not market.enabled)
    if not found:
        raise InvalidRequest({"symbol": [unknown_symbol_message(symbol, enabled_symbols())]})
    if not found[0].enabled:
        raise MarketDisabled(f"{symbol} is known and switched off")
    return found[0]


def remembered_market(symbol: str) -> Market | None:
    """The enabled market of a symbol as of at most a second ago; None asks for `known_market`."""
    read_at = _directory["read_at"]
    if read_at is None or not 0 <= clock.monotonic() - read_at < REMEMBERED_SECONDS:
        _directory["markets"] = {market.symbol: market for market in Market.objects.enabled()}
        _directory["read_at"] = clock.monotonic()
    found: Market | None = _directory["markets"].get(symbol)
    return found


def forget_markets() -> None:
    """Ask the database again."""
    _directory.update(read_at=None, markets={})


def known_horizon(horizon: Any, ensemble: Ensemble | None, kind: str = "range_predictor") -> int:
    """Check a horizon against those the champion answers, or the default ones where there is none.

    Raises
    ------
    InvalidRequest
        If it is not one of them.
    """
    served = served_horizons(ensemble, kind)
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon not in served:
        raise InvalidRequest({"horizon": [f"Write one of {', '.join(map(str, served))}."]})
    return horizon


def served_horizons(ensemble: Ensemble | None, kind: str = "range_predictor") -> tuple[int, ...]:
    """Horizons answered at the moment."""
    if ensemble is not None and kind == "range_predictor" and ensemble.range_predictor is not None:
        return ensemble.horizons
    if ensemble is not None and kind == "tpsl_classifier" and ensemble.tpsl is not None:
        return ensemble.tpsl.horizons
    return tuple(settings.DEFAULT_HORIZONS)


def known_side(side: Any) -> str:
    """Check a side."""
    if side not in {"buy", "sell"}:
        raise InvalidRequest({"side": ["Write buy or sell."]})
    return str(side)


def known_price(value: Any, name: str) -> Decimal:
    """Read a price given as a string or a number, at the places a price is stored with.

    Raises
    ------
    InvalidRequest
        If it is no positive finite number below 10^12.

    Examples
    --------
    >>> known_price("67000.5", "take_profit")
    Decimal('67000.50000000')
    """
    said = [f"Write a price above 0 and below {HIGHEST_PRICE:,}, as a number or a string."]
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal) or len(str(value)) > 40:
        raise InvalidRequest({name: said})
    try:
        price = Decimal(str(value).strip() if isinstance(value, str) else str(value))
        within = price.is_finite() and 0 < price < HIGHEST_PRICE
        rounded = price.quantize(PLACES) if within else Decimal(0)
    except (InvalidOperation, ValueError) as error:
        raise InvalidRequest({name: said}) from error
    if rounded <= 0:
        raise InvalidRequest({name: said})
    return rounded


def known_prices(values: Any) -> list[Decimal]:
    """Read a list of prices."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or not 1 <= len(values) <= MOST_PRICES:
        raise InvalidRequest({"prices": [f"Write a list of 1 to {MOST_PRICES} prices."]})
    return [known_price(value, "prices") for value in values]


def on_its_side(price: Decimal, close: float, above: bool, name: str) -> None:
    """Refuse a level on the wrong side of the close."""
    if (price > Decimal(f"{close:.8f}")) is not above or price == Decimal(f"{close:.8f}"):
        where = "above" if above else "below"
        raise InvalidRequest({name: [f"Write a price {where} the close, which is {close:.8f}."]})
