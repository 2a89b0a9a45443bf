"""JSON objects of markets and candles for the API."""

from collections.abc import Sequence
from typing import Any

from marketdata import clock
from marketdata.decimals import decimal_text
from marketdata.models import Candle, Market
from marketdata.storage.aggregation import IntervalCandle


def candle_object(candle: Candle | IntervalCandle) -> dict[str, Any]:
    """One closed candle of any interval."""
    return {
        "open_time": clock.to_datetime(candle.open_time),
        "open": decimal_text(candle.open),
        "high": decimal_text(candle.high),
        "low": decimal_text(candle.low),
        "close": decimal_text(candle.close),
        "volume": decimal_text(candle.volume),
        "quote_volume": decimal_text(candle.quote_volume),
        "trades": candle.trades,
        "taker_buy_base": decimal_text(candle.taker_buy_base),
        "taker_buy_quote": decimal_text(candle.taker_buy_quote),
        "missing": candle.missing if isinstance(candle, IntervalCandle) else 0,
    }


def market_object(market: Market, horizons: Sequence[int], newest_open_ms: int | None) -> dict[str, Any]:
    """One market with the horizons served and its newest candle."""
    return {
        "symbol": market.symbol,
        "interval": market.interval,
        "horizons": list(horizons),
        "status": status_of(market),
        "message": market.status or (f"trading status at the exchange: {market.trading}" if market.is_halted else ""),
        "newest_candle_time": None if newest_open_ms is None else clock.to_datetime(newest_open_ms),
        "live_since": market.live_since,
        "simulated": market.simulated,
    }


def status_of(market: Market) -> str:
    """Status of a market: `enabled`, `quarantined` or `disabled`."""
    if not market.enabled:
        return "disabled"
    waiting = market.quarantined_until is not None and market.quarantined_until > clock.wall_now()
    return "quarantined" if waiting else "enabled"
