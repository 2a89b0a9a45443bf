"""Health of the exchange connection and age of the newest candles."""

from typing import Any

from django.utils.translation import gettext

from marketdata import clock
from marketdata.exchange import rate_limit
from marketdata.intervals import INTERVAL_MS
from marketdata.models import ExchangeState, Market
from marketdata.storage import candles

LATE_SECONDS = 15.0
"""Wall time after a close from which a candle not stored is late; answers become stale then."""
AHEAD_SECONDS = 5.0
"""A candle that closes later than this from now (wall time) lies in the future; less is jitter."""


def report() -> dict[str, Any]:
    """Status of the exchange and its candles; the most severe fault comes first."""
    ages, rate = data_age_seconds(), max(clock.market_rate(), 1.0)
    ahead = sorted(symbol for symbol, age in ages.items() if age is not None and age < -AHEAD_SECONDS * rate)
    if ahead:
        message = gettext("the newest candle comes from the future: %(markets)s") % {"markets": ", ".join(ahead[:10])}
        return {"status": "unhealthy", "message": message, "cause": "candles_from_the_future"}
    state = ExchangeState.objects.filter(pk=1).first()
    if state is None or state.clock_wall_ms is None:
        return {"status": "degraded", "message": gettext("the exchange was never reached"), "used_weight": 0}
    halted = sorted(market.symbol for market in Market.objects.enabled() if market.is_halted)
    details: dict[str, Any] = {
        "used_weight": state.used_weight,
        "weight_limit": state.weight_limit,
        "clock_offset_ms": (state.clock_market_ms or 0) - state.clock_wall_ms,
        "reconnects": state.reconnects,
        "halted": halted,
    }
    limit = INTERVAL_MS / 1000 + LATE_SECONDS * rate
    followed = [symbol for symbol in ages if symbol not in halted]
    late = sorted(symbol for symbol in followed if (age := ages[symbol]) is None or age > limit)
    faults = [
        _ban(state),
        _clock_fault(state),
        gettext("no recent candle of %(markets)s") % {"markets": ", ".join(late[:10])} if late else "",
    ]
    if late and all((ages[symbol] or 0) > limit for symbol in followed):
        return {"status": "degraded", "message": _joined(faults), "cause": "STALE_DATA", **details}
    return {"status": "degraded" if any(faults) else "healthy", "message": _joined(faults), **details}


def _ban(state: ExchangeState) -> str:
    if not rate_limit.is_ban(state.banned_until_ms, clock.wall_ms()):
        return ""
    until = clock.to_datetime(state.banned_until_ms or 0)
    return gettext("it banned this address until %(time)s") % {"time": f"{until:%Y-%m-%dT%H:%M:%SZ}"}


def _clock_fault(state: ExchangeState) -> str:
    ahead = ((state.clock_wall_ms or 0) - clock.wall_ms()) / 1000
    words = gettext("the system's clock was set back: the exchange's was read %(seconds).0f s from now")
    return words % {"seconds": ahead} if ahead > 5 else ""


def _joined(faults: list[str]) -> str:
    return "; ".join(filter(None, faults))


def data_age_seconds() -> dict[str, float | None]:
    """Market time minus the close of the newest candle, per enabled symbol; null without any."""
    markets = list(Market.objects.enabled())
    newest, now = candles.newest_stored(markets), clock.market_ms()  # one from the future has a negative age
    ages: dict[str, float | None] = {}
    for market in markets:
        open_ms = newest.get(market.pk)
        ages[market.symbol] = None if open_ms is None else round((now - open_ms - INTERVAL_MS) / 1000, 3)
    return ages
