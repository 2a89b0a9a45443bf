"""Counts every process keeps for itself and adds to shared rows every few seconds.

A scrape may reach any process, so the rows are the truth; what this process has not written yet is
added on top. A count that cannot be written stays here and is tried again.
"""

import atexit
import os
import threading
from collections import Counter as Tally

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from mlengine_project.operations.models import Counter

FLUSH_SECONDS = 3.0
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
PREDICTIONS = "ml_predictions_total"
LATENCY = "ml_prediction_latency_seconds"
REFUSALS = "ml_refusals_total"

log = structlog.get_logger(__name__)
Series = tuple[str, str]


class Measures:
    """The counts of this process that are not in the table yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: Tally[Series] = Tally()
        self._thread_of: int | None = None
        self._wake = threading.Event()

    def add(self, name: str, amount: float = 1.0, **labels: str | int) -> None:
        """Count."""
        series = (name, ",".join(f"{key}={labels[key]}" for key in sorted(labels)))
        with self._lock:
            self._pending[series] += amount  # type: ignore[assignment]
        if self._thread_of != os.getpid():
            self._start()

    def observe(self, name: str, seconds: float) -> None:
        """Put one duration into a histogram: its bucket, the sum and the count."""
        bucket = next((f"{edge}" for edge in BUCKETS if seconds <= edge), "+Inf")
        self.add(f"{name}_bucket", 1, le=bucket)
        self.add(f"{name}_sum", seconds)
        self.add(f"{name}_count")

    def pending(self) -> dict[Series, float]:
        """What is not written yet."""
        with self._lock:
            return dict(self._pending)

    def flush(self) -> int:
        """Add what is pending to the table; returns the number of series written."""
        with self._lock:
            taken, self._pending = self._pending, Tally()
        try:
            with transaction.atomic():
                for (name, labels), amount in sorted(taken.items()):
                    rows = Counter.objects.filter(name=name, labels=labels)
                    if not rows.update(value=F("value") + amount):
                        Counter.objects.get_or_create(name=name, labels=labels)
                        rows.update(value=F("value") + amount)
        except DatabaseError:
            with self._lock:
                self._pending.update(taken)
            raise
        return len(taken)

    def totals(self) -> dict[Series, float]:
        """Every count there is: the table, and what is on its way there."""
        found: Tally[Series] = Tally()
        for name, labels, value in Counter.objects.values_list("name", "labels", "value"):
            found[name, labels] += value
        found.update(self.pending())  # type: ignore[arg-type]
        return dict(found)

    def _start(self) -> None:
        with self._lock:
            if self._thread_of == os.getpid():
                return
            self._thread_of = os.getpid()
        threading.Thread(target=self._write_regularly, name="measures", daemon=True).start()
        atexit.register(self._write_last)

    def _write_regularly(self) -> None:
        while True:
            self._wake.wait(FLUSH_SECONDS)
            self._write_once()

    def _write_last(self) -> None:
        if self._thread_of == os.getpid() and self.pending():
            self._write_once()

    def _write_once(self) -> None:
        from mlengine_project.access.services import note_uses

        try:
            self.flush()
            note_uses()
        except DatabaseError as error:
            log.warning("measures_not_written", error=type(error).__name__)
        finally:
            connection.close()


measures = Measures()
"""The counts of this process."""
