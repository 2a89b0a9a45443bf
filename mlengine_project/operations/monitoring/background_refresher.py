"""Background refresh of champions and counts in a serving process, every few seconds.

Champions are verified, loaded and used once here (that takes seconds), so that no candle waits for it: the first
ones before a web process accepts connections, a newly promoted one while the old one stays active. Events of the
windows in memory are added to the shared counts.
"""

import threading

import structlog
from django.db import DatabaseError, close_old_connections, connections

from mlengine_project.operations.monitoring.counters import WINDOWS, measures
from predictions import services as predictions
from predictions.live import windows

PERIOD_SECONDS = 2.0

log = structlog.get_logger(__name__)


class BackgroundRefresher:
    """A daemon thread that refreshes champions and counts."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._reported: dict[str, int] = {}
        self._warmed_up: dict[str, str] = {}
        self._first_round_ended, self._loaded = threading.Event(), threading.Event()

    @property
    def is_loading(self) -> bool:
        """Whether the first champions of this process are not loaded yet."""
        return self._thread is not None and not self._loaded.is_set()

    def wait_for_first_round(self, seconds: float) -> bool:
        """Wait until the first round ended, with or without champions or a database; False on a timeout."""
        return self._first_round_ended.wait(seconds)

    def start(self) -> None:
        """Start the thread, once per process."""
        if self._thread is None:
            for event in (self._stopping, self._first_round_ended, self._loaded):
                event.clear()
            self._thread = threading.Thread(target=self._run, name="companion", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopping.set()
        self._thread = None

    def refresh(self) -> None:
        """Do one round."""
        self._warmed_up = predictions.warm_up(self._warmed_up)
        counts = windows.counts()
        for event, count in counts.items():
            if count > self._reported.get(event, 0):
                measures.add(WINDOWS, count - self._reported.get(event, 0), event=event)
        if counts != self._reported:
            self._reported = counts
            measures.flush()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                close_old_connections()
                self.refresh()
                self._loaded.set()
            except DatabaseError as error:
                log.warning("companion_waits_for_the_database", error=type(error).__name__)
            except Exception:
                log.exception("companion_failed")
                self._loaded.set()  # it would fail again: requests report it, and waiting longer would not help
            self._first_round_ended.set()
            self._stopping.wait(PERIOD_SECONDS)
        connections.close_all()


refresher = BackgroundRefresher()
"""The background refresher of this process."""
