"""Execution of one job: a subprocess of a management command, with its progress in the job's row.

Training and backfills run in a process of their own at low priority, so that their memory, their CPU use and
their crashes do not affect the serving process.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import Case, F, Q, Value, When

from marketdata import clock
from marketdata.process_state import process_state
from mlengine_project.operations.models import Job

ORPHANED_SECONDS = 60
"""A running job whose row was not updated for this long has lost its process."""
TOUCH_SECONDS = 5.0
"""How often a running job's row is updated and checked for a request to cancel."""
NICENESS = 10
STOP_SECONDS = 10
OUTPUT_LINES = 40
WRITE_EVERY_SECONDS = 1.0
DUPLICATE_SLOT_PREFIX = "alike:"
"""Prefix of the slots of jobs that are unique by their arguments until they have ended."""
RELEASED_SLOT = Case(When(slot__startswith=DUPLICATE_SLOT_PREFIX, then=Value(None)), default=F("slot"))
"""The slot of an ended job: one by arguments is released, one by day or market is kept."""

log = structlog.get_logger(__name__)


class RunningJobs:
    """Child processes of this process, by job, and the jobs it interrupted."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.interrupted: set[str] = set()


def interrupt_all() -> None:
    """Stop the child processes; their jobs become pending again for the next start."""
    running = process_state.of(RunningJobs)
    for job_id, process in list(running.processes.items()):
        running.interrupted.add(job_id)
        process.terminate()


def claim(job_id: str) -> Job | None:
    """Claim a pending or orphaned job for this process; None if another process has it."""
    now = clock.wall_now()
    orphaned = Q(state=Job.State.RUNNING, heartbeat_at__lt=now - timedelta(seconds=ORPHANED_SECONDS))
    claimed = Job.objects.filter(Q(state=Job.State.PENDING) | orphaned, id=job_id).update(
        state=Job.State.RUNNING, started_at=now, heartbeat_at=now, message="starting"
    )
    return Job.objects.get(id=job_id) if claimed else None


def run(job_id: str) -> None:
    """Run a job to its end; does nothing for a job claimed already."""
    job = claim(job_id)
    if job is None:
        return
    if job.cancel_requested:
        _end(job, Job.State.CANCELLED, "cancelled before it began")
        return
    try:
        _follow(job)
    except OSError as error:
        _end(job, Job.State.FAILED, f"could not start: {error}")


def command_line(job: Job) -> list[str]:
    """The command that does the work of a job."""
    names = {
        Job.Kind.TRAINING: "train_models",
        Job.Kind.BACKFILL: "backfill_candles",
        Job.Kind.RETENTION: "prune_models",
        Job.Kind.BOOTSTRAP: "bootstrap",
    }
    words = [sys.executable, str(settings.BASE_DIR / "manage.py"), names[Job.Kind(job.kind)], "--progress-json"]
    for name, value in sorted(job.arguments.items()):
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, *map(str, value)]
        elif value not in (None, False):
            words += [option, str(value)]
    return words


def _follow(job: Job) -> None:
    process = subprocess.Popen(  # noqa: S603  (a fixed command with arguments from the job's row)
        command_line(job),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=_lower_priority,  # noqa: PLW1509  (only sets niceness)
    )
    tail: list[str] = []
    result: dict[str, Any] = {}
    running = process_state.of(RunningJobs)
    running.processes[str(job.id)] = process
    ended, cancelled = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(job, process, ended, cancelled), name="job-watch", daemon=True)
    watch.start()
    try:
        for line in _lines(process):
            message = _message(line)
            if "result" in message:
                result = message["result"]
            elif not message:
                tail = [*tail, line][-OUTPUT_LINES:]
            else:
                _write_progress(job, message)
        code = process.wait()
    finally:
        ended.set()
        running.processes.pop(str(job.id), None)
        if process.poll() is None:
            _stop(process)
        watch.join(STOP_SECONDS)
    if cancelled.is_set():
        _end(job, Job.State.CANCELLED, "cancelled")
        return
    if str(job.id) in running.interrupted:
        running.interrupted.discard(str(job.id))
        Job.objects.filter(id=job.id).update(state=Job.State.PENDING, message="interrupted")
        return
    result |= {"output": "\n".join(tail)}
    last = tail[-1] if tail else f"ended with code {code}"
    if code == 0:
        _end(job, Job.State.SUCCEEDED, "done", result, progress=1.0)
    elif code == os.EX_TEMPFAIL:
        _requeue(job, last)
    else:
        _end(job, Job.State.FAILED, last, result | {"code": code})


def _watch(job: Job, process: "subprocess.Popen[str]", ended: threading.Event, cancelled: threading.Event) -> None:
    """Update the row of a job while its process runs, and stop the process on a request to cancel."""
    row = Job.objects.filter(id=job.id)
    try:
        while not ended.wait(TOUCH_SECONDS):
            try:
                row.update(heartbeat_at=clock.wall_now())
                if row.filter(cancel_requested=True).exists():
                    cancelled.set()
                    _stop(process)
                    return
            except (DatabaseError, InterfaceError) as error:
                log.warning("job_not_touched", job=str(job.id), reason=str(error)[:200])
                close_old_connections()
    finally:
        connection.close()


def _lower_priority() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICENESS)


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    if process.stdout is None:
        return
    for line in process.stdout:
        if line.strip():
            yield line.rstrip()


def _message(line: str) -> dict[str, Any]:
    """Progress or result that a command reports as JSON; empty for a line of ordinary output."""
    if not line.startswith("{"):
        return {}
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    is_result = isinstance(parsed, dict) and isinstance(parsed.get("result"), dict)
    return parsed if is_result or (isinstance(parsed, dict) and {"done", "total"} <= set(parsed)) else {}


def _write_progress(job: Job, progress: dict[str, Any]) -> None:
    """Store the newest progress, at most once a second."""
    now = clock.wall_now()
    # Absolute difference: after the clock was set back, waiting for the old time would look like a lost process.
    if job.heartbeat_at and abs((now - job.heartbeat_at).total_seconds()) < WRITE_EVERY_SECONDS:
        return
    job.heartbeat_at = now
    job.progress = min(1.0, float(progress["done"]) / max(float(progress["total"]), 1e-9))
    job.message = str(progress.get("message", ""))[:300]
    Job.objects.filter(id=job.id).update(heartbeat_at=now, progress=job.progress, message=job.message)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _requeue(job: Job, reason: str) -> None:
    """Make a job pending again after a temporary failure; the sweep of pending jobs queues it."""
    running = Job.objects.filter(id=job.id, state=Job.State.RUNNING)
    if not running.filter(cancel_requested=False).update(state=Job.State.PENDING, message=f"waits: {reason}"[:300]):
        _end(job, Job.State.CANCELLED, "cancelled")
    log.info("job_waits", job=str(job.id), kind=job.kind, reason=reason)


def _end(
    job: Job, state: str, message: str, result: dict[str, Any] | None = None, progress: float | None = None
) -> None:
    changes: dict[str, Any] = {
        "state": state,
        "message": message[:300],
        "ended_at": clock.wall_now(),
        "slot": RELEASED_SLOT,
    }
    if result is not None:
        changes["result"] = result
    if progress is not None:
        changes["progress"] = progress
    Job.objects.filter(id=job.id, state=Job.State.RUNNING).update(**changes)
    log.info("job_ended", job=str(job.id), kind=job.kind, state=state, message=message)
