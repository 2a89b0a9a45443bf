"""Signs of life: each process tells every few seconds that it lives and what it has loaded."""

import os
import socket
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, connections

from marketdata import clock
from mlengine_project.operations.models import Heartbeat
from modelregistry import registry

PERIOD_SECONDS = 15.0
KEPT_MINUTES = 60

log = structlog.get_logger(__name__)
_stops: dict[str, threading.Event] = {}


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
    """Begin telling, in a daemon thread, that this process lives; once per part."""
    if part in _stops:
        return
    stop_event = threading.Event()
    _stops[part] = stop_event
    threading.Thread(target=_tell, args=(part, stop_event), name=f"heartbeat-{part}", daemon=True).start()


def stop(part: str) -> None:
    """Stop telling and take the row away, so that a clean end is not taken for a death."""
    stop_event = _stops.pop(part, None)
    if stop_event is None:
        return
    stop_event.set()
    try:
        forget(part)
    except DatabaseError:
        log.warning("heartbeat_not_removed", part=part)
    close_old_connections()


def _tell(part: str, stop_event: threading.Event) -> None:
    name = process_name(part)
    while not stop_event.is_set():
        try:
            close_old_connections()
            record(name, part, {"loaded": registry.loaded_versions()})
        except DatabaseError as error:
            log.warning("heartbeat_missed", part=part, error=str(error))
        stop_event.wait(PERIOD_SECONDS)
    connections.close_all()


def forget_the_dead() -> int:
    """Remove rows of processes silent for an hour."""
    limit = clock.wall_now().timestamp() - KEPT_MINUTES * 60
    deleted, _ = Heartbeat.objects.filter(at__lt=clock.to_datetime(int(limit * 1000))).delete()
    return deleted
