"""Heartbeats: every few seconds each process records that it runs and what it has loaded."""

import os
import socket
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, connections
from django.db.models import Q

from marketdata import clock
from marketdata.process_state import process_state
from mlengine_project.operations.models import Heartbeat
from modelregistry import registry

PERIOD_SECONDS = 5.0
RETENTION_MINUTES = 60
CLOCK_TOLERANCE = timedelta(seconds=10)
"""A row further ahead of now was written before the clock was set back, and is ignored."""

log = structlog.get_logger(__name__)


class OwnHeartbeats:
    """Heartbeats of this process: the events that stop them, and the newest failures, by part."""

    def __init__(self) -> None:
        self.stops: dict[str, threading.Event] = {}
        self.failures: dict[str, str] = {}


def record(name: str, part: str, detail: dict[str, Any] | None = None) -> None:
    """Write one heartbeat."""
    Heartbeat.objects.update_or_create(
        name=name, defaults={"part": part, "at": clock.wall_now(), "detail": detail or {}}
    )


def process_name(part: str) -> str:
    """Name of this process's row."""
    return f"{part}:{socket.gethostname()}:{os.getpid()}"


def record_stream(detail: Mapping[str, Any]) -> None:
    """Write the feed's heartbeat; passed to the feed supervisor, which cannot import this table."""
    record(process_name("stream"), "stream", dict(detail))


def remove(part: str) -> None:
    """Remove this process's row after a clean stop."""
    Heartbeat.objects.filter(name=process_name(part)).delete()


def start(part: str) -> None:
    """Start writing this process's heartbeat in a daemon thread, once per part."""
    own = process_state.of(OwnHeartbeats)
    if part in own.stops:
        return
    stop_event = own.stops[part] = threading.Event()
    threading.Thread(target=_write_periodically, args=(part, stop_event), name=f"heartbeat-{part}", daemon=True).start()


def stop(part: str) -> None:
    """Stop the heartbeat and remove its row, so that a clean stop is not reported as a failure."""
    own = process_state.of(OwnHeartbeats)
    stop_event = own.stops.pop(part, None)
    if stop_event is not None:
        stop_event.set()
    own.failures.pop(part, None)
    try:
        remove(part)
    except DatabaseError:
        log.warning("heartbeat_not_removed", part=part)
    close_old_connections()


def write_own(part: str) -> None:
    """Write this process's row now; a failure is kept until the next success."""
    failures = process_state.of(OwnHeartbeats).failures
    try:
        record(process_name(part), part, {"loaded": registry.loaded_versions()})
        failures.pop(part, None)
    except DatabaseError as error:
        failures[part] = str(error).splitlines()[0]
        log.warning("heartbeat_missed", part=part, error=str(error))


def _write_periodically(part: str, stop_event: threading.Event) -> None:
    while not stop_event.is_set():
        close_old_connections()
        write_own(part)
        stop_event.wait(PERIOD_SECONDS)
    connections.close_all()


def write_failure() -> str:
    """Error of the newest failed heartbeat write of this process; empty after a success."""
    return next(iter(process_state.of(OwnHeartbeats).failures.values()), "")


def prune_stale() -> int:
    """Remove rows older than an hour or ahead of now; running processes write theirs again."""
    now = clock.wall_now()
    outdated = Q(at__lt=now - timedelta(minutes=RETENTION_MINUTES)) | Q(at__gt=now + CLOCK_TOLERANCE)
    deleted, _ = Heartbeat.objects.filter(outdated).delete()
    return deleted
