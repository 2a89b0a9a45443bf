"""Context of the operations page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from marketdata import clock
from mlengine_project.access.models import ApiKey
from mlengine_project.operations.jobs.control import ACTIVE_STATES
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring import health
from mlengine_project.operations.scheduling.words import interval_words, runs_warning, schedule_warning, schedule_words
from signals import kill_switch
from signals.models import SignalSwitch

PAST_JOBS = 12
DAY_SECONDS = 86_400
NAMES = {
    "database": "Database",
    "cache": "Cache",
    "disk": "Disk",
    "models": "Models",
    "binance": "Exchange",
    "predictions": "Predictions",
    "signals": "Signals",
    "celery": "Worker",
    "beat": "Scheduler",
    "stream": "Price feed",
}


@dataclass(frozen=True)
class ScheduleLine:
    """One row of the schedule in words."""

    name: str
    when: str
    description: str
    enabled: bool
    last_run: datetime | None
    warning: str
    pk: int


@dataclass(frozen=True)
class HealthLine:
    """One part of the engine with its cause and what to do."""

    name: str
    status: str
    message: str
    advice: str


@dataclass(frozen=True)
class KeyLine:
    """An API key and its state."""

    key: ApiKey
    state: str


def context(*, with_keys: bool) -> dict[str, Any]:
    """Context of the page; keys only for people who may see them."""
    return {
        **live_context(),
        "schedule": schedule(),
        "keys": keys() if with_keys else None,
    }


def live_context() -> dict[str, Any]:
    """Jobs, switch and health: what changes while one looks."""
    active = list(Job.objects.filter(state__in=ACTIVE_STATES).order_by("created_at"))
    ended = list(Job.objects.exclude(state__in=ACTIVE_STATES).order_by("-created_at")[:PAST_JOBS])
    return {
        "jobs": [*active, *ended],
        "switch": SignalSwitch.objects.filter(symbol=kill_switch.ALL).first(),
        "switched_off": list(SignalSwitch.objects.filter(off=True).exclude(symbol=kill_switch.ALL).order_by("symbol")),
        "health": health_lines(),
    }


def health_lines() -> list[HealthLine]:
    """Every check with its cause, the worst first; the parts of the API's detailed report."""
    order = {"unhealthy": 0, "degraded": 1, "healthy": 2}
    advice = {check.name: check.advice for check in health.CHECKS}
    lines = [
        HealthLine(gettext(NAMES.get(name, name)), report["status"], report["message"], gettext(advice[name]))
        for name, report in health.parts().items()
    ]
    return sorted(lines, key=lambda line: order.get(line.status, 0))


def schedule() -> list[ScheduleLine]:
    """Every row of the schedule in words."""
    lines = []
    for row in PeriodicTask.objects.select_related("crontab", "interval").order_by("name"):
        if row.task == "celery.backend_cleanup":
            continue
        when, warning = str(row.schedule), ""
        if row.crontab:
            fields = row.crontab
            when = schedule_words(
                fields.minute, fields.hour, fields.day_of_week, fields.day_of_month, fields.month_of_year
            )
            warning = schedule_warning(row.task, fields.minute, fields.hour)
        elif row.interval:
            seconds = row.interval.schedule.run_every.total_seconds()
            when, warning = interval_words(seconds), runs_warning(row.task, round(DAY_SECONDS / seconds))
        name, description = (gettext(text) if text else "" for text in (row.name, row.description))
        lines.append(ScheduleLine(name, when, description, row.enabled, row.last_run_at, warning, row.pk))
    return lines


def keys() -> list[KeyLine]:
    """API keys, active ones first."""
    now = clock.wall_now()
    lines = []
    for key in ApiKey.objects.order_by("-created_at"):
        is_expired = key.expires_at is not None and key.expires_at <= now
        lines.append(KeyLine(key, "revoked" if key.revoked_at else "expired" if is_expired else "active"))
    return sorted(lines, key=lambda line: line.state != "active")
