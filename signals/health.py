"""What this app says of itself: is anything waiting to be published, and is the kill switch on."""

from typing import Any

from django.db.models import Count, Min

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from signals import worklist
from signals.models import OutboxMessage, SignalSwitch

LATE_SECONDS = 15.0
"""A signal not published, or a closed candle without its signal, for longer than this is late."""


def report() -> dict[str, Any]:
    """The outbox and the switches."""
    unsent, age = outbox()
    held = sorted(
        symbol or "all markets" for symbol in SignalSwitch.objects.filter(off=True).values_list("symbol", flat=True)
    )
    said: dict[str, Any] = {"unsent": unsent, "outbox_age_seconds": age, "held": held}
    if age is not None and age > LATE_SECONDS:
        return {"status": "degraded", "message": f"{unsent} signals wait, the oldest for {age:.0f} s", **said}
    if waiting := _waiting():
        message = f"candles were stored and have no signal: {', '.join(waiting[:10])}"
        return {"status": "degraded", "message": message, **said}
    if held:
        return {"status": "degraded", "message": f"switched off: {', '.join(held)}", **said}
    return {"status": "healthy", "message": "", **said}


def outbox() -> tuple[int, float | None]:
    """How many signals wait to be published, and for how long the oldest has."""
    waiting = OutboxMessage.objects.filter(sent_at__isnull=True).aggregate(n=Count("pk"), oldest=Min("written_at"))
    if not waiting["n"]:
        return 0, None
    # The amount: a row written before the clock was set back has waited as well.
    return waiting["n"], round(abs((clock.wall_now() - waiting["oldest"]).total_seconds()), 3)


def _waiting() -> list[str]:
    """Markets whose newest stored candles wait for their signals."""
    work = worklist.newest_pending(list(Market.objects.enabled()))
    limit = clock.market_ms() - INTERVAL_MS - round(LATE_SECONDS * 1000 * max(clock.market_rate(), 1.0))
    return sorted(market.symbol for market, opens in work.items() if opens and min(opens) < limit)
