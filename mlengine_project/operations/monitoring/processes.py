"""Health of worker, beat and feed: whether they run and do their work."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from marketdata import clock
from mlengine_project.operations.models import Heartbeat
from mlengine_project.operations.monitoring import heartbeats

SILENT_SECONDS = 15.0
"""A process without a heartbeat for this long is stopped or stuck; it writes one every 5 s."""
LATE_SECONDS = 15.0
"""Delay after which a due schedule row or a sent task is late."""
NO_MESSAGE_SECONDS = 60.0
"""A feed without a message for this long is cut off; a traded market has one every 2 s."""
BEAT_TASK = "mlengine_project.operations.tasks.beat_heartbeat"
Report = dict[str, Any]


def part(status: str, message: str = "", **more: Any) -> Report:
    """Report of one part."""
    return {"status": status, "message": message, **more}


def worker() -> Report:
    """Report of the worker: whether it runs and executes the tasks that beat sends."""
    report, newest = _newest_heartbeat("worker")
    if report is not None:
        return report
    # Beat sends this task each minute and the worker writes the row: a task sent and not run means a stuck worker.
    sent = PeriodicTask.objects.filter(task=BEAT_TASK, enabled=True).values_list("last_run_at", flat=True).first()
    credible = Heartbeat.objects.filter(name="beat", at__lte=clock.wall_now() + heartbeats.CLOCK_TOLERANCE)
    done = credible.values_list("at", flat=True).first()
    late = sent is not None and _age(sent) > LATE_SECONDS and (done is None or done < sent - heartbeats.CLOCK_TOLERANCE)
    words = gettext("runs no tasks: one sent %(seconds).0f s ago has not been run")
    return _report(newest, words % {"seconds": _age(sent)} if late and sent else "")


def beat() -> Report:
    """Report of beat: whether it runs, fires its rows, and the broker accepts the tasks."""
    report, newest = _newest_heartbeat("scheduler")
    rows = [row for row in PeriodicTask.objects.select_related("crontab") if row.crontab and row.crontab.hour == "*"]
    faults = [_schedule_fault(rows)]
    if report is not None:
        return report | {"message": "; ".join(filter(None, [report["message"], *faults]))}
    refused = newest.detail.get("refused") if newest is not None else ""
    words = gettext("the broker does not accept tasks: %(refusal)s")
    return _report(newest, words % {"refusal": refused} if refused else "", *faults)


def stream() -> Report:
    """Report of the feed: whether it runs and receives messages."""
    report, newest = _newest_heartbeat("stream")
    if report is not None or newest is None:
        return report or _report(newest)
    if not newest.detail.get("markets"):
        return _report(newest, gettext("no market is enabled"))
    silent_seconds = newest.detail.get("silent_seconds")
    if silent_seconds is None:
        return _report(newest, gettext("has received no message yet"))
    is_cut_off = silent_seconds > NO_MESSAGE_SECONDS
    words = gettext("has received no message for %(seconds).0f s")
    return _report(newest, words % {"seconds": silent_seconds} if is_cut_off else "")


def _newest_heartbeat(heartbeat: str) -> tuple[Report | None, Heartbeat | None]:
    """The newest heartbeat of a part, with a report where it is missing or late."""
    now = clock.wall_now()
    rows = Heartbeat.objects.filter(part=heartbeat)
    newest = rows.filter(at__lte=now + heartbeats.CLOCK_TOLERANCE).order_by("-at").first()
    if newest is None:
        ahead = gettext("its heartbeat is dated ahead of now: a clock was set back")
        message = ahead if rows.exists() else gettext("no heartbeat yet")
        return part("degraded", message, age_seconds=None), None
    age = _age(newest.at)
    if age > SILENT_SECONDS:
        message = gettext("no heartbeat for %(seconds).0f s") % {"seconds": age}
        return part("degraded", message, age_seconds=round(age, 1)), newest
    return None, newest


def _age(at: datetime) -> float:
    return max(0.0, (clock.wall_now() - at).total_seconds())


def _report(newest: Heartbeat | None, *faults: str, **more: Any) -> Report:
    age = None if newest is None else round(_age(newest.at), 1)
    return part("degraded" if any(faults) else "healthy", "; ".join(filter(None, faults)), age_seconds=age, **more)


def _schedule_fault(rows: list[PeriodicTask]) -> str:
    """Faults of the schedule rows that fire at least once an hour."""
    if not rows:
        return gettext("the schedule has no rows")
    off = sorted(gettext(row.name) for row in rows if not row.enabled)
    now = clock.wall_now()
    ahead, late = [], []
    for row in rows:
        last = row.last_run_at or row.date_changed
        if not row.enabled or last is None:
            continue
        if last > now + heartbeats.CLOCK_TOLERANCE:
            ahead.append(gettext(row.name))
        elif row.schedule.remaining_estimate(last).total_seconds() < -LATE_SECONDS:
            late.append(gettext(row.name))
    faults = (
        gettext("switched off: %(names)s") % {"names": ", ".join(off)} if off else "",
        gettext("last run ahead of now: %(names)s") % {"names": ", ".join(sorted(ahead))} if ahead else "",
        gettext("due and not fired: %(names)s") % {"names": ", ".join(sorted(late))} if late else "",
    )
    return "; ".join(filter(None, faults))
