"""Health report of signals: unsent messages, candles without signal, kill switches."""

from typing import Any

from django.db.models import Count, Min
from django.utils.translation import gettext

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from signals import backlog
from signals.models import OutboxMessage, SignalSwitch

LATE_SECONDS = 15.0
"""A signal not published, or a closed candle without its signal, for longer than this is late."""


def report() -> dict[str, Any]:
    """Status, message, state of the outbox and markets switched off."""
    unsent, age = outbox()
    switched_off = sorted(
        symbol or gettext("all markets")
        for symbol in SignalSwitch.objects.filter(off=True).values_list("symbol", flat=True)
    )
    details: dict[str, Any] = {"unsent": unsent, "outbox_age_seconds": age, "held": switched_off}
    if age is not None and age > LATE_SECONDS:
        message = gettext("%(count)d signals wait, the oldest for %(seconds).0f s") % {"count": unsent, "seconds": age}
        return {"status": "degraded", "message": message, **details}
    if waiting := _markets_without_signal():
        message = gettext("stored candles have no signal: %(markets)s") % {"markets": ", ".join(waiting[:10])}
        return {"status": "degraded", "message": message, **details}
    if switched_off:
        message = gettext("switched off: %(names)s") % {"names": ", ".join(switched_off)}
        return {"status": "degraded", "message": message, **details}
    return {"status": "healthy", "message": "", **details}


def outbox() -> tuple[int, float | None]:
    """Number of unsent signals, and age of the oldest in seconds."""
    waiting = OutboxMessage.objects.filter(sent_at__isnull=True).aggregate(n=Count("pk"), oldest=Min("written_at"))
    if not waiting["n"]:
        return 0, None
    # Absolute value: the clock may have been set back since the row was written.
    return waiting["n"], round(abs((clock.wall_now() - waiting["oldest"]).total_seconds()), 3)


def _markets_without_signal() -> list[str]:
    """Symbols whose newest stored candles still have no signal."""
    work = backlog.newest_pending(list(Market.objects.enabled()))
    limit = clock.market_ms() - INTERVAL_MS - round(LATE_SECONDS * 1000 * max(clock.market_rate(), 1.0))
    return sorted(market.symbol for market, opens in work.items() if opens and min(opens) < limit)
