"""Database scheduler of beat that corrects rows after the clock was set back."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from marketdata import clock
from mlengine_project.operations.monitoring import heartbeats

CLOCK_TOLERANCE = timedelta(seconds=5)
"""A row further ahead of now would wait for a past time; less is the jitter of NTP clocks."""
HEARTBEAT_SECONDS = 4.0
MAX_SLEEP_SECONDS = 2.0
PROCESS = "scheduler"
"""Heartbeat part of the beat process, besides the row `beat` that its task writes."""

log = structlog.get_logger(__name__)


class EngineScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, with rows ahead of now corrected and a heartbeat of its own.

    A row is due after its last run. Where that lies in the future (the clock was set back, or was wrong when
    the row was written) it is never due until then, without any error.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.refused = ""
        self._heartbeat_at = float("-inf")
        super().__init__(*args, **options)

    @property
    def schedule(self) -> dict[str, Any]:
        """The rows as entries; read again at once when the clock was set back."""
        if self._schedule is not None and self._is_ahead():
            self._last_full_sync = datetime.min  # noqa: DTZ901  # a full sync is due; naive there as well
        return DatabaseScheduler.schedule.fget(self)  # type: ignore[no-any-return,attr-defined]

    def all_as_schedule(self) -> dict[str, Any]:
        """Every enabled row, corrected where it was ahead; the last known rows without a database."""
        try:
            correct_rows_ahead()
            return dict(super().all_as_schedule())
        except (DatabaseError, InterfaceError) as error:
            if self._schedule is None:
                raise
            log.warning("schedule_not_read", reason=str(error)[:200])
            return dict(self._schedule)

    def schedule_changed(self) -> bool:
        """Whether a row was edited; after the clock was set back an edit has an earlier time than the last."""
        before = self._last_timestamp
        changed = bool(super().schedule_changed())
        return changed or (before is not None and self._last_timestamp is not None and self._last_timestamp < before)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send one due task, and keep the error when the broker refuses it."""
        try:
            result = super().apply_async(entry, producer=producer, advance=advance, **options)
        except Exception as error:
            self.refused = str(error)[:200]
            raise
        self.refused = ""
        return result

    def tick(self, *args: Any, **options: Any) -> float:
        """Run one round, with a heartbeat every few seconds."""
        seconds = super().tick(*args, **options)
        self._write_heartbeat()
        return min(float(seconds), MAX_SLEEP_SECONDS)

    def close(self) -> None:
        """Save the schedule and remove the heartbeat."""
        super().close()
        heartbeats.stop(PROCESS)

    def _is_ahead(self) -> bool:
        limit = clock.wall_now() + CLOCK_TOLERANCE
        is_ahead = any(entry.model.last_run_at > limit for entry in self._schedule.values())
        return is_ahead or self._last_full_sync > limit.astimezone().replace(tzinfo=None)  # naive local time there

    def _write_heartbeat(self) -> None:
        if clock.monotonic() - self._heartbeat_at < HEARTBEAT_SECONDS:
            return
        self._heartbeat_at = clock.monotonic()
        detail = {"rows": len(self._schedule or ()), "refused": self.refused}
        try:
            heartbeats.record(heartbeats.process_name(PROCESS), PROCESS, detail)
        except DatabaseError as error:
            log.warning("heartbeat_missed", part=PROCESS, error=str(error))


def correct_rows_ahead() -> list[str]:
    """Set the last run of rows ahead of now to now, and log them; returns their names."""
    now = clock.wall_now()
    ahead = PeriodicTask.objects.filter(
        Q(last_run_at__gt=now + CLOCK_TOLERANCE) | Q(last_run_at__isnull=True, date_changed__gt=now + CLOCK_TOLERANCE)
    )
    names = sorted(ahead.values_list("name", flat=True))
    if names:
        # An update, not a save: it fires no signal of django-celery-beat, which would reload the schedule.
        ahead.update(last_run_at=now)
        log.warning("schedule_rows_ahead_of_now", rows=names, set_to=now.isoformat())
    return names
