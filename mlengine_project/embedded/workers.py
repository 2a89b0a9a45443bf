"""Worker and beat inside one process, for `up`: in-memory broker, threads, clean stop."""

import contextlib
import threading
from typing import Any

from celery import Celery

from mlengine_project.operations.monitoring import heartbeats
from mlengine_project.operations.monitoring.background_refresher import refresher

CONCURRENCY = 3
JOIN_SECONDS = 6.0
SLEEP_SECONDS = 0.5
"""Maximum sleep of beat between two checks for a stop; a sleeping daemon thread is not joined."""


class EmbeddedWorker:
    """A Celery worker with a thread pool, running in a daemon thread."""

    def __init__(self, app: Celery) -> None:
        self.worker: Any = app.WorkController(
            hostname="embedded@localhost",
            pool="threads",
            concurrency=CONCURRENCY,
            queues=["live", "default", "training"],
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            quiet=True,
        )
        self.thread = threading.Thread(target=self.worker.start, name="celery-worker", daemon=True)

    def start(self) -> None:
        """Start the worker thread."""
        self.thread.start()
        heartbeats.start("worker")
        refresher.start()

    def stop(self) -> None:
        """Stop accepting tasks and end the thread."""
        refresher.stop()
        heartbeats.stop("worker")
        with contextlib.suppress(Exception):  # the worker may have ended already
            self.worker.stop()
        self.thread.join(JOIN_SECONDS)


class EmbeddedBeat:
    """The beat service with the database schedule, running in a daemon thread."""

    def __init__(self, app: Celery) -> None:
        from celery.beat import Service

        self.service = Service(app, max_interval=5, scheduler_cls=app.conf.beat_scheduler)
        self.thread = threading.Thread(target=self.service.start, name="celery-beat", daemon=True)

    def start(self) -> None:
        """Start the beat thread."""
        self.thread.start()

    def stop(self) -> None:
        """Stop scheduling and end the thread, if it was started."""
        if self.thread.ident is not None:
            self.service.stop()
            self.thread.join(SLEEP_SECONDS)
