"""What this app says of itself: is anything waiting to be published, and is the kill switch on."""

from typing import Any

from django.db.models import Count, Min

from marketdata import clock
from signals.models import OutboxMessage, SignalSwitch

LATE_SECONDS = 30.0


def report() -> dict[str, Any]:
    """The outbox and the switches."""
    unsent, age = outbox()
    held = sorted(
        symbol or "all markets" for symbol in SignalSwitch.objects.filter(off=True).values_list("symbol", flat=True)
    )
    said: dict[str, Any] = {"unsent": unsent, "outbox_age_seconds": age, "held": held}
    if age is not None and age > LATE_SECONDS:
        return {"status": "degraded", "message": f"{unsent} signals wait, the oldest for {age:.0f} s", **said}
    if held:
        return {"status": "degraded", "message": f"switched off: {', '.join(held)}", **said}
    return {"status": "healthy", "message": "", **said}


def outbox() -> tuple[int, float | None]:
    """How many signals wait to be published, and for how long the oldest has."""
    waiting = OutboxMessage.objects.filter(sent_at__isnull=True).aggregate(n=Count("pk"), oldest=Min("written_at"))
    if not waiting["n"]:
        return 0, None
    return waiting["n"], round(max(0.0, (clock.wall_now() - waiting["oldest"]).total_seconds()), 3)
