"""Response of GET /api/v3/exchangeInfo: rate limits, symbols and their rules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from marketdata.simulator.generator.markets import GeneratedMarket
from marketdata.simulator.http.limits import Limits
from marketdata.simulator.klines import places8

ORDER_TYPES = [
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
]


def exchange_info(
    symbols: tuple[str, ...], now_ms: int, limits: Limits, halted: Collection[str] = ()
) -> dict[str, Any]:
    """The documented fields for the given symbols; halted ones have status BREAK.

    Examples
    --------
    >>> exchange_info(("BTCUSDT",), 0, Limits())["symbols"][0]["baseAsset"]
    'BTC'
    """
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute),
            _rate_limit("ORDERS", "SECOND", 10, 100),
            _rate_limit("ORDERS", "DAY", 1, 200_000),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
        ],
        "exchangeFilters": [],
        "symbols": [_symbol_rules(GeneratedMarket.of(symbol, 0), is_halted=symbol in halted) for symbol in symbols],
    }


def _rate_limit(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def _symbol_rules(market: GeneratedMarket, *, is_halted: bool) -> dict[str, Any]:
    tick, lot = places8(10.0**-market.price_digits), places8(10.0**-market.lot_digits)
    return {
        "symbol": market.symbol,
        "status": "BREAK" if is_halted else "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "900000.00000000", "stepSize": lot},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }
