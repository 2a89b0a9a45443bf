"""Data of the admin's index page: the state of the engine."""

from collections import Counter
from datetime import timedelta
from typing import Any

from django.http import HttpRequest

from marketdata import clock
from marketdata.admin_pages import age_of
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market, Source
from marketdata.storage import candles
from mlengine_project.console.engine_state import current_state
from mlengine_project.console.wording import age_text
from mlengine_project.operations.models import Job
from predictions.reasons import REASON_TEXTS
from signals.models import OutboxMessage, SignalLog, SignalSwitch

JOBS = 4


def with_state(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Add the state of the engine to the admin's index; named in the theme's settings."""
    markets = Market.objects.enabled()
    opens = candles.newest_open(list(markets))
    newest = max((open_ms for open_ms in opens.values() if open_ms is not None), default=None)
    unsent = OutboxMessage.objects.filter(sent_at__isnull=True).order_by("written_at")
    day = SignalLog.objects.filter(candle_time__gte=clock.market_now() - timedelta(days=1))
    refused: Counter[str] = Counter()
    for reasons in day.filter(signal_type=SignalLog.Type.HOLD).values_list("reasons", flat=True):
        refused.update(reasons[:1])
    oldest = unsent.first()
    return {
        **context,
        "title": "State of the engine",
        "engine": current_state(),
        "switch_for_all": SignalSwitch.objects.filter(symbol="").first(),
        "newest_ms": newest,
        "newest_age": "" if newest is None else age_text((clock.market_ms() - newest - INTERVAL_MS) / 1000),
        "signal_count": day.exclude(signal_type=SignalLog.Type.HOLD).count(),
        "holds": sum(refused.values()),
        "refusals": [(REASON_TEXTS.get(code, code), count) for code, count in refused.most_common()],
        "unsent": unsent.count(),
        "unsent_age": age_of(oldest.written_at) if oldest else "",
        "jobs": list(Job.objects.order_by("-created_at")[:JOBS]),
    }


def environment(request: HttpRequest) -> list[str] | None:  # noqa: ARG001
    """Label of every admin page while prices are simulated."""
    simulated = Market.objects.enabled().filter(source=Source.SIMULATED).exists()
    return ["Prices are simulated", "warning"] if simulated else None
