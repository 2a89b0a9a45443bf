"""What this app says of itself: the exchange, and how old the newest candles are."""

from typing import Any

from marketdata import clock, store
from marketdata.intervals import INTERVAL_MS
from marketdata.models import ExchangeState, Market

OLD_MS = 2 * INTERVAL_MS
"""A newest candle that closed longer ago than this is late."""


def report() -> dict[str, Any]:
    """The exchange: banned or not, its weight, its clock, and whether candles arrive."""
    state = ExchangeState.objects.filter(pk=1).first()
    if state is None or state.clock_wall_ms is None:
        return {"status": "degraded", "message": "the exchange was never reached", "used_weight": 0}
    said: dict[str, Any] = {
        "used_weight": state.used_weight,
        "weight_limit": state.weight_limit,
        "clock_offset_ms": (state.clock_market_ms or 0) - state.clock_wall_ms,
        "reconnects": state.reconnects,
    }
    if state.banned_until_ms and state.banned_until_ms > clock.wall_ms():
        until = clock.to_datetime(state.banned_until_ms)
        return {"status": "degraded", "message": f"it asked for silence until {until:%Y-%m-%dT%H:%M:%SZ}", **said}
    halted = sorted(market.symbol for market in Market.objects.enabled() if market.is_halted)
    said["halted"] = halted
    ages = data_age_seconds().items()
    late = sorted(s for s, age in ages if s not in halted and (age is None or age * 1000 > OLD_MS))
    if late:
        return {"status": "degraded", "message": f"no recent candle of {', '.join(late[:10])}", **said}
    return {"status": "healthy", "message": "", **said}


def data_age_seconds() -> dict[str, float | None]:
    """Market time minus the close of the newest candle, per enabled symbol; null without any."""
    markets = list(Market.objects.enabled())
    newest, now = store.newest_stored(markets), clock.market_ms()  # one from the future shows by an age below 0
    ages: dict[str, float | None] = {}
    for market in markets:
        open_ms = newest.get(market.pk)
        ages[market.symbol] = None if open_ms is None else round((now - open_ms - INTERVAL_MS) / 1000, 3)
    return ages
