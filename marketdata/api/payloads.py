"""JSON objects of markets and candles for the API."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marketdata import clock
from marketdata.decimals import decimal_text
from marketdata.models import Market
from marketdata.storage.aggregation import IntervalCandle

CANDLE_FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_base",
    "taker_buy_quote",
)
"""Fields of a candle in their order in JSON, after its time."""
CANDLE_JSON = (
    '{"open_time":"%s","open":"%s","high":"%s","low":"%s","close":"%s","volume":"%s","quote_volume":"%s",'
    '"trades":%s,"taker_buy_base":"%s","taker_buy_quote":"%s","missing":0}'
)


def candle_json(open_ms: int, values: Sequence[object]) -> str:
    """JSON object of a closed 5-minute candle, from the values of `CANDLE_FIELDS` with decimals as texts."""
    text = CANDLE_JSON % (clock.iso(clock.to_datetime(open_ms)), *values)
    # Values are digits, so a None is that of an optional field.
    return text.replace('"None"', "null").replace(":None", ":null")


def iso_texts(times_ms: Sequence[int] | npt.NDArray[np.int64]) -> list[str]:
    """Times of candles, which open at whole seconds, in UTC with a Z.

    >>> iso_texts([1_704_067_200_000])
    ['2024-01-01T00:00:00Z']
    """
    seconds = np.array(times_ms, dtype=np.int64) // 1000
    return [str(time) for time in np.datetime_as_string(seconds.astype("datetime64[s]"), timezone="UTC")]


def candle_object(candle: IntervalCandle) -> dict[str, Any]:
    """One closed candle of a longer interval."""
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
        "missing": candle.missing,
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
