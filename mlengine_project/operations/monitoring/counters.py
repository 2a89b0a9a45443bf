"""Counters kept by each process and added to shared rows every few seconds.

A scrape may reach any process, so the rows are authoritative; counts of this process that are not written yet are
added to them. A count that cannot be written is kept and tried again.
"""

import threading
from bisect import bisect_left
from functools import lru_cache

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from mlengine_project.access.services import record_key_use
from mlengine_project.operations.models import Counter

FLUSH_SECONDS = 3.0
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
PREDICTIONS = "ml_predictions_total"
LATENCY = "ml_prediction_latency_seconds"
REFUSALS = "ml_refusals_total"
WINDOWS = "ml_live_windows_total"

log = structlog.get_logger(__name__)
Series = tuple[str, str]


def sum_of_series(one: dict[Series, float], other: dict[Series, float]) -> dict[Series, float]:
    """Add two sets of series.

    >>> sum_of_series({("a", ""): 1.0}, {("a", ""): 2.0, ("b", ""): 1.0})
    {('a', ''): 3.0, ('b', ''): 1.0}
    """
    return {series: one.get(series, 0.0) + other.get(series, 0.0) for series in {**one, **other}}


@lru_cache(maxsize=4096)
def series_of(name: str, **labels: str | int) -> Series:
    """Name of a series and its labels in order.

    >>> series_of("ml_predictions_total", symbol="BTCUSDT", horizon=6)
    ('ml_predictions_total', 'horizon=6,symbol=BTCUSDT')
    """
    return name, ",".join(f"{key}={labels[key]}" for key in sorted(labels))


@lru_cache
def histogram_of(name: str) -> tuple[list[Series], Series, Series]:
    """The series of a histogram: its buckets in order, its sum and its count."""
    buckets = [series_of(f"{name}_bucket", le=f"{edge}") for edge in (*BUCKETS, "+Inf")]
    return buckets, series_of(f"{name}_sum"), series_of(f"{name}_count")


class Measures:
    """Counts of this process that are not stored yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[Series, float] = {}
        self._stopping = threading.Event()

    def add(self, name: str, amount: float = 1.0, **labels: str | int) -> None:
        """Count."""
        self._add([(series_of(name, **labels), amount)])

    def observe(self, name: str, seconds: float) -> None:
        """Add one duration to a histogram: its bucket, the sum and the count."""
        buckets, total, count = histogram_of(name)
        self._add([(buckets[bisect_left(BUCKETS, seconds)], 1.0), (total, seconds), (count, 1.0)])

    def _add(self, amounts: list[tuple[Series, float]]) -> None:
        with self._lock:
            for series, amount in amounts:
                self._pending[series] = self._pending.get(series, 0.0) + amount

    def pending(self) -> dict[Series, float]:
        """Counts that are not stored yet."""
        with self._lock:
            return dict(self._pending)

    def flush(self) -> int:
        """Store the pending counts; returns the number of series written."""
        with self._lock:
            taken, self._pending = self._pending, {}
        try:
            with transaction.atomic():
                for (name, labels), amount in sorted(taken.items()):
                    rows = Counter.objects.filter(name=name, labels=labels)
                    if not rows.update(value=F("value") + amount):
                        Counter.objects.get_or_create(name=name, labels=labels)
                        rows.update(value=F("value") + amount)
        except DatabaseError:
            with self._lock:
                self._pending = sum_of_series(self._pending, taken)
            raise
        return len(taken)

    def totals(self) -> dict[Series, float]:
        """All counts: the stored ones and those pending here."""
        rows = Counter.objects.values_list("name", "labels", "value")
        return sum_of_series({(name, labels): value for name, labels, value in rows}, self.pending())

    def start(self) -> None:
        """Start storing counts periodically in a daemon thread."""
        self._stopping.clear()
        threading.Thread(target=self._write_regularly, name="measures", daemon=True).start()

    def stop(self) -> None:
        """Store the pending counts and stop the thread."""
        self._stopping.set()
        self._write()

    def _write_regularly(self) -> None:
        while not self._stopping.wait(FLUSH_SECONDS):
            self._write()

    def _write(self) -> None:
        try:
            self.flush()
            record_key_use()
        except DatabaseError as error:
            log.warning("measures_not_written", error=type(error).__name__)
        finally:
            connection.close()


measures = Measures()
"""The counts of this process."""
