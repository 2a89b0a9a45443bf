"""What a process that serves does beside its work, every few seconds, so that no candle has to wait for it.

A newly crowned champion is verified and loaded here (that takes seconds) while the old one answers, and what the
windows in memory went through is added to the shared counts.
"""

import threading

import structlog
from django.db import DatabaseError, close_old_connections

from mlengine_project.operations.measures import WINDOWS, measures
from modelregistry import registry
from predictions import live_windows

PERIOD_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Companion:
    """One daemon thread of this process."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: dict[str, int] = {}

    def start(self) -> None:
        """Begin; once per process."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._accompany, name="companion", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End with the current round."""
        self._stopping.set()
        self._thread = None

    def look(self) -> None:
        """Do one round."""
        registry.follow()
        counts = live_windows.counts()
        for event, count in counts.items():
            if count > self._told.get(event, 0):
                measures.add(WINDOWS, count - self._told.get(event, 0), event=event)
        if counts != self._told:
            self._told = counts
            measures.flush()

    def _accompany(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                close_old_connections()
                self.look()
            except DatabaseError as error:
                log.warning("companion_waits_for_the_database", error=type(error).__name__)
            except Exception:
                log.exception("companion_failed")
        close_old_connections()


companion = Companion()
"""The companion of this process."""
