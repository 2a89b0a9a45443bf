"""Whether worker, beat and feed run, and whether they do their work."""

from datetime import datetime
from typing import Any

from django_celery_beat.models import PeriodicTask

from marketdata import clock
from mlengine_project.operations import heartbeats
from mlengine_project.operations.models import Heartbeat

SILENT_SECONDS = 15.0
"""A process that has not written its heartbeat for so long does not run, or is stuck; it writes every 5 s."""
LATE_SECONDS = 15.0
"""What beat should have fired, or a worker should have run, so long ago is late."""
UNHEARD_SECONDS = 60.0
"""A feed that received nothing for so long is cut off; the exchange sends of a traded market every 2 s."""
BEAT_TASK = "mlengine_project.operations.tasks.beat_heartbeat"
Report = dict[str, Any]


def part(status: str, message: str = "", **more: Any) -> Report:
    """One part of the report."""
    return {"status": status, "message": message, **more}


def worker() -> Report:
    """Whether a worker runs, and runs the tasks beat sends."""
    silent, newest = _newest_heartbeat("worker")
    if silent is not None:
        return silent
    # Beat sends this task each minute, the worker writes the row: what was sent and not run shows who is stuck.
    sent = PeriodicTask.objects.filter(task=BEAT_TASK, enabled=True).values_list("last_run_at", flat=True).first()
    credible = Heartbeat.objects.filter(name="beat", at__lte=clock.wall_now() + heartbeats.AHEAD)
    done = credible.values_list("at", flat=True).first()
    late = sent is not None and _age(sent) > LATE_SECONDS and (done is None or done < sent - heartbeats.AHEAD)
    return _well(newest, f"runs no tasks: one sent {_age(sent):.0f} s ago has not been run" if late and sent else "")


def beat() -> Report:
    """Whether beat runs, fires its rows, and the broker takes the tasks."""
    silent, newest = _newest_heartbeat("scheduler")
    rows = [row for row in PeriodicTask.objects.select_related("crontab") if row.crontab and row.crontab.hour == "*"]
    faults = [_schedule_fault(rows)]
    if silent is not None:
        return silent | {"message": "; ".join(filter(None, [silent["message"], *faults]))}
    refused = newest.detail.get("refused") if newest is not None else ""
    return _well(newest, f"the broker takes no tasks: {refused}" if refused else "", *faults)


def stream() -> Report:
    """Whether the feed runs, and receives anything."""
    silent, newest = _newest_heartbeat("stream")
    if silent is not None or newest is None:
        return silent or _well(newest)
    if not newest.detail.get("markets"):
        return _well(newest, "no market is enabled")
    unheard = newest.detail.get("silent_seconds")
    if unheard is None:
        return _well(newest, "has received nothing yet")
    return _well(newest, f"has received nothing for {unheard:.0f} s" if unheard > UNHEARD_SECONDS else "")


def _newest_heartbeat(heartbeat: str) -> tuple[Report | None, Heartbeat | None]:
    """The fault of a silent part, or its newest heartbeat."""
    now = clock.wall_now()
    rows = Heartbeat.objects.filter(part=heartbeat)
    newest = rows.filter(at__lte=now + heartbeats.AHEAD).order_by("-at").first()
    if newest is None:
        message = "its heartbeat is dated ahead of now: a clock was set back" if rows.exists() else "no heartbeat yet"
        return part("degraded", message, age_seconds=None), None
    age = _age(newest.at)
    if age > SILENT_SECONDS:
        return part("degraded", f"silent for {age:.0f} s", age_seconds=round(age, 1)), newest
    return None, newest


def _age(at: datetime) -> float:
    return max(0.0, (clock.wall_now() - at).total_seconds())


def _well(newest: Heartbeat | None, *faults: str, **more: Any) -> Report:
    age = None if newest is None else round(_age(newest.at), 1)
    return part("degraded" if any(faults) else "healthy", "; ".join(filter(None, faults)), age_seconds=age, **more)


def _schedule_fault(rows: list[PeriodicTask]) -> str:
    """What is wrong with the rows that fire at least once an hour."""
    if not rows:
        return "the schedule has no rows"
    off = sorted(row.name for row in rows if not row.enabled)
    now = clock.wall_now()
    ahead, late = [], []
    for row in rows:
        last = row.last_run_at or row.date_changed
        if not row.enabled or last is None:
            continue
        if last > now + heartbeats.AHEAD:
            ahead.append(row.name)
        elif row.schedule.remaining_estimate(last).total_seconds() < -LATE_SECONDS:
            late.append(row.name)
    said = (
        f"switched off: {', '.join(off)}" if off else "",
        f"last run ahead of now: {', '.join(sorted(ahead))}" if ahead else "",
        f"due and not fired: {', '.join(sorted(late))}" if late else "",
    )
    return "; ".join(filter(None, said))
