"""Signs of life: each process tells every few seconds that it lives and what it has loaded."""

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
from mlengine_project.operations.models import Heartbeat
from modelregistry import registry

PERIOD_SECONDS = 5.0
KEPT_MINUTES = 60
AHEAD = timedelta(seconds=10)
"""A row dated this far ahead of now was written before the clock was set back, and proves nothing."""

log = structlog.get_logger(__name__)
_stops: dict[str, threading.Event] = {}
_failures: dict[str, str] = {}


def record(name: str, part: str, detail: dict[str, Any] | None = None) -> None:
    """Write one sign of life."""
    Heartbeat.objects.update_or_create(
        name=name, defaults={"part": part, "at": clock.wall_now(), "detail": detail or {}}
    )


def process_name(part: str) -> str:
    """The name of this process's row."""
    return f"{part}:{socket.gethostname()}:{os.getpid()}"


def of_stream(detail: Mapping[str, Any]) -> None:
    """Write the feed's sign of life; handed to the supervisor, which knows nothing of this table."""
    record(process_name("stream"), "stream", dict(detail))


def forget(part: str) -> None:
    """Take this process's row away: a clean end is not a death."""
    Heartbeat.objects.filter(name=process_name(part)).delete()


def start(part: str) -> None:
    """Begin to write this process's heartbeat, in a daemon thread; once per part."""
    if part in _stops:
        return
    stop_event = threading.Event()
    _stops[part] = stop_event
    threading.Thread(target=_tell, args=(part, stop_event), name=f"heartbeat-{part}", daemon=True).start()


def stop(part: str) -> None:
    """Stop telling and take the row away, so that a clean end is not taken for a death."""
    stop_event = _stops.pop(part, None)
    if stop_event is not None:
        stop_event.set()
    _failures.pop(part, None)
    try:
        forget(part)
    except DatabaseError:
        log.warning("heartbeat_not_removed", part=part)
    close_old_connections()


def write_own(part: str) -> None:
    """Write this process's row now; why that failed is kept until it succeeds."""
    try:
        record(process_name(part), part, {"loaded": registry.loaded_versions()})
        _failures.pop(part, None)
    except DatabaseError as error:
        _failures[part] = str(error).splitlines()[0]
        log.warning("heartbeat_missed", part=part, error=str(error))


def _tell(part: str, stop_event: threading.Event) -> None:
    while not stop_event.is_set():
        close_old_connections()
        write_own(part)
        stop_event.wait(PERIOD_SECONDS)
    connections.close_all()


def write_failure() -> str:
    """Why the newest heartbeat of this process could not be written; empty when it could."""
    return next(iter(_failures.values()), "")


def forget_the_dead() -> int:
    """Remove rows of processes silent for an hour, and rows ahead of now; those of processes that run come again."""
    now = clock.wall_now()
    outdated = Q(at__lt=now - timedelta(minutes=KEPT_MINUTES)) | Q(at__gt=now + AHEAD)
    deleted, _ = Heartbeat.objects.filter(outdated).delete()
    return deleted
