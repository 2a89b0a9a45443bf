"""Requesting and cancelling jobs. The database row is authoritative: a lost queue loses no job."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from marketdata import clock
from mlengine_project.operations.jobs.runs import DUPLICATE_SLOT_PREFIX, ORPHANED_SECONDS, RELEASED_SLOT
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring import heartbeats

SCHEDULE = "schedule"
"""Who requests what the schedule requests."""
DAILY_TRAINING = "daily-training-"
"""Prefix of the slots of nightly trainings; the day follows."""
ACTIVE_STATES = (Job.State.PENDING, Job.State.RUNNING)
log = structlog.get_logger(__name__)


def request_training(asked_by: str, arguments: dict[str, Any] | None = None, slot: str | None = None) -> Job:
    """Request a training; the same slot, or the same arguments before it has ended, give the same job."""
    return _request(Job.Kind.TRAINING, asked_by, arguments or {}, slot)


def request_backfill(asked_by: str, arguments: dict[str, Any] | None = None, slot: str | None = None) -> Job:
    """Request a backfill; the same slot, or the same arguments before it has ended, give the same job."""
    return _request(Job.Kind.BACKFILL, asked_by, arguments or {}, slot)


def request_bootstrap(asked_by: str) -> Job:
    """Request the bootstrap of this installation; at most one is active."""
    return _request(Job.Kind.BOOTSTRAP, asked_by, {}, None)


def request_daily_training() -> Job:
    """Request the training of this UTC day, once however many beats run."""
    return request_training(SCHEDULE, slot=f"{DAILY_TRAINING}{clock.wall_now():%Y-%m-%d}")


def request_daily_retention() -> Job:
    """Request the retention run of this UTC day, once however many beats run."""
    return _request(Job.Kind.RETENTION, SCHEDULE, {}, f"daily-retention-{clock.wall_now():%Y-%m-%d}")


def request_retention_after(job_id: str) -> Job | None:
    """Request the retention run after a successful training, once; None after any other job."""
    if not Job.objects.filter(id=job_id, kind=Job.Kind.TRAINING, state=Job.State.SUCCEEDED).exists():
        return None
    return _request(Job.Kind.RETENTION, "training", {}, f"retention-after-{job_id}")


def cancel(job: Job) -> bool:
    """Cancel a job; a pending one ends at once. False when it has ended already."""
    if Job.objects.filter(id=job.id, state=Job.State.PENDING).update(
        state=Job.State.CANCELLED,
        cancel_requested=True,
        slot=RELEASED_SLOT,
        ended_at=clock.wall_now(),
        message="cancelled before it began",
    ):
        return True
    running = Job.objects.filter(id=job.id, state=Job.State.RUNNING)
    return bool(running.update(cancel_requested=True, slot=RELEASED_SLOT))


def requeue_pending() -> int:
    """Queue pending and orphaned jobs again; a job queued twice is claimed once."""
    now = clock.wall_now()
    oldest = now - timedelta(seconds=ORPHANED_SECONDS)
    # A heartbeat ahead of now means that the clock was set back: the time without a heartbeat counts from now.
    Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__gt=now + heartbeats.CLOCK_TOLERANCE).update(
        heartbeat_at=now
    )
    pending = list(Job.objects.filter(state=Job.State.PENDING).values_list("id", flat=True))
    orphaned = list(Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__lt=oldest).values_list("id", flat=True))
    for job_id in pending + orphaned:
        _queue(job_id)
    return len(pending) + len(orphaned)


def release_all_running() -> int:
    """Make running jobs pending again; only for `up`, where no other process runs jobs."""
    return Job.objects.filter(state=Job.State.RUNNING).update(state=Job.State.PENDING, message="interrupted")


def _request(kind: str, asked_by: str, arguments: dict[str, Any], slot: str | None) -> Job:
    if slot is not None:
        known = Job.objects.filter(slot=slot).first()
        if known is not None:
            return known
    else:
        for job in Job.objects.filter(kind=kind, state__in=ACTIVE_STATES, cancel_requested=False):
            if job.arguments == arguments:
                return job
        words = json.dumps([kind, arguments], sort_keys=True)
        # Released when the job ends: until then the constraint limits two simultaneous requests to one row.
        slot = DUPLICATE_SLOT_PREFIX + hashlib.sha256(words.encode()).hexdigest()
    try:
        with transaction.atomic():
            job = Job.objects.create(kind=kind, asked_by=asked_by, arguments=arguments, slot=slot)
            transaction.on_commit(lambda: _queue(job.id))
    except IntegrityError:
        return Job.objects.get(slot=slot)
    return job


def _send(job_id: str) -> None:
    """Queue the task that runs a job; by name, since the task's module imports this one."""
    current_app.send_task("mlengine_project.operations.tasks.run_job", [job_id], ignore_result=True)


def _queue(job_id: UUID) -> None:
    try:
        _send(str(job_id))
    except OperationalError as error:  # the row stays pending: the next sweep queues it
        log.warning("job_not_queued", job=str(job_id), reason=str(error)[:200])
