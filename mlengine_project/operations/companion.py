"""What a process that serves does beside its work, every few seconds, so that no candle has to wait for it.

Champions are verified, loaded and asked once here (that takes seconds): the first ones before a web process takes
connections, a newly promoted one while the old one answers. What the windows in memory went through is added to the
shared counts.
"""

import threading

import structlog
from django.db import DatabaseError, close_old_connections, connections

from mlengine_project.operations.measures import WINDOWS, measures
from predictions import live_windows
from predictions import services as predictions

PERIOD_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Companion:
    """One daemon thread of this process."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: dict[str, int] = {}
        self._answered: dict[str, str] = {}
        self._looked, self._loaded = threading.Event(), threading.Event()

    @property
    def is_loading(self) -> bool:
        """Whether the first champions of this process are not loaded yet."""
        return self._thread is not None and not self._loaded.is_set()

    def wait_for_first_round(self, seconds: float) -> bool:
        """Wait until the first round ended: with champions, without any, or without a database. False when too long."""
        return self._looked.wait(seconds)

    def start(self) -> None:
        """Begin; once per process."""
        if self._thread is None:
            for event in (self._stopping, self._looked, self._loaded):
                event.clear()
            self._thread = threading.Thread(target=self._accompany, name="companion", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End with the current round."""
        self._stopping.set()
        self._thread = None

    def look(self) -> None:
        """Do one round."""
        self._answered = predictions.warm_up(self._answered)
        counts = live_windows.counts()
        for event, count in counts.items():
            if count > self._told.get(event, 0):
                measures.add(WINDOWS, count - self._told.get(event, 0), event=event)
        if counts != self._told:
            self._told = counts
            measures.flush()

    def _accompany(self) -> None:
        while not self._stopping.is_set():
            try:
                close_old_connections()
                self.look()
                self._loaded.set()
            except DatabaseError as error:
                log.warning("companion_waits_for_the_database", error=type(error).__name__)
            except Exception:
                log.exception("companion_failed")
                self._loaded.set()  # what failed fails again: requests report it, and waiting longer would not help
            self._looked.set()
            self._stopping.wait(PERIOD_SECONDS)
        connections.close_all()


companion = Companion()
"""The companion of this process."""
