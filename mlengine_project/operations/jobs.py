"""Asking for long work and stopping it. The row is the truth: a lost queue loses no job."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from marketdata import clock
from mlengine_project.operations import heartbeats, tasks
from mlengine_project.operations.job_runs import ALIKE, FREED_SLOT, SILENT_SECONDS
from mlengine_project.operations.models import Job

UNENDED = (Job.State.PENDING, Job.State.RUNNING)
log = structlog.get_logger(__name__)


def request_training(asked_by: str, arguments: dict[str, Any] | None = None, slot: str | None = None) -> Job:
    """Request a training run; the same slot, or the same arguments before it has ended, give the same job."""
    return _request(Job.Kind.TRAINING, asked_by, arguments or {}, slot)


def request_backfill(asked_by: str, arguments: dict[str, Any] | None = None, slot: str | None = None) -> Job:
    """Request history from the exchange; the same slot, or the same arguments before it has ended, are the same job."""
    return _request(Job.Kind.BACKFILL, asked_by, arguments or {}, slot)


def request_bootstrap(asked_by: str) -> Job:
    """Request the bootstrap of this installation; there is one at a time."""
    return _request(Job.Kind.BOOTSTRAP, asked_by, {}, None)


def request_daily_training() -> Job:
    """The training of this UTC day, asked for once however many beats there are."""
    return request_training("schedule", slot=f"daily-training-{clock.wall_now():%Y-%m-%d}")


def request_daily_retention() -> Job:
    """The retention run of this UTC day, asked for once however many beats there are."""
    return _request(Job.Kind.RETENTION, "schedule", {}, f"daily-retention-{clock.wall_now():%Y-%m-%d}")


def request_retention_after(job_id: str) -> Job | None:
    """Ask for the retention run that follows a training that succeeded, once; None after any other job."""
    if not Job.objects.filter(id=job_id, kind=Job.Kind.TRAINING, state=Job.State.SUCCEEDED).exists():
        return None
    return _request(Job.Kind.RETENTION, "training", {}, f"retention-after-{job_id}")


def cancel(job: Job) -> bool:
    """Ask a job to stop; a pending one ends at once. False when it has ended already."""
    if Job.objects.filter(id=job.id, state=Job.State.PENDING).update(
        state=Job.State.CANCELLED,
        cancel_requested=True,
        slot=FREED_SLOT,
        ended_at=clock.wall_now(),
        message="cancelled before it began",
    ):
        return True
    running = Job.objects.filter(id=job.id, state=Job.State.RUNNING)
    return bool(running.update(cancel_requested=True, slot=FREED_SLOT))


def requeue_pending() -> int:
    """Queue again what is pending or was orphaned; a job queued twice is claimed once."""
    now = clock.wall_now()
    silent = now - timedelta(seconds=SILENT_SECONDS)
    # Touched at a time that is still to come: the clock was set back. From now on its silence counts again.
    Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__gt=now + heartbeats.AHEAD).update(heartbeat_at=now)
    pending = list(Job.objects.filter(state=Job.State.PENDING).values_list("id", flat=True))
    orphaned = list(Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__lt=silent).values_list("id", flat=True))
    for job_id in pending + orphaned:
        _queue(job_id)
    return len(pending) + len(orphaned)


def release_all_running() -> int:
    """Make running jobs pending again; for the one process that knows it is alone (`up`)."""
    return Job.objects.filter(state=Job.State.RUNNING).update(state=Job.State.PENDING, message="interrupted")


def _request(kind: str, asked_by: str, arguments: dict[str, Any], slot: str | None) -> Job:
    if slot is not None:
        known = Job.objects.filter(slot=slot).first()
        if known is not None:
            return known
    else:
        for job in Job.objects.filter(kind=kind, state__in=UNENDED, cancel_requested=False):
            if job.arguments == arguments:
                return job
        words = json.dumps([kind, arguments], sort_keys=True)
        # Freed when the job ends: until then the constraint holds two simultaneous requests to one row.
        slot = ALIKE + hashlib.sha256(words.encode()).hexdigest()
    try:
        with transaction.atomic():
            job = Job.objects.create(kind=kind, asked_by=asked_by, arguments=arguments, slot=slot)
            transaction.on_commit(lambda: _queue(job.id))
    except IntegrityError:
        return Job.objects.get(slot=slot)
    return job


def _queue(job_id: Any) -> None:
    try:
        tasks.run_job.delay(str(job_id))
    except OperationalError as error:  # the row stays pending: the next sweep queues it
        log.warning("job_not_queued", job=str(job_id), reason=str(error)[:200])
