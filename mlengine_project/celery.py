"""The Celery app: one for all processes, in memory when embedded.

Queues: `live` (candles to signals, without slow tasks), `default`, and `training`.
State is in the database, not in a queue: every task may be lost, late or repeated without harm.
"""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init, worker_process_init, worker_ready, worker_shutting_down

from mlengine_project.operations.scheduling import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

broker.install()
app = Celery("mlengine")
# `current_app` is per thread: without this, pool threads would use an app without a broker or results.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def refuse_without_redis() -> None:
    """Exit a worker or beat started alone: no other process could reach its in-memory broker."""
    from django.conf import settings

    is_celery = Path(sys.argv[0]).name in {"celery", "__main__.py"} and {"worker", "beat"} & set(sys.argv[1:])
    if is_celery and settings.EMBEDDED:
        sys.exit("REDIS_URL is not set: only `manage.py up` runs a worker and beat, inside itself.")


refuse_without_redis()


@worker_init.connect
@beat_init.connect
def refuse_bad_settings(**_: Any) -> None:
    """Run the system checks, which Django runs only for commands."""
    from django.db import connections

    from mlengine_project.checks import stop_on_errors

    stop_on_errors()
    connections.close_all()  # the checks read the champions; children are forked without a connection


@worker_ready.connect
def start_heartbeat(**_: Any) -> None:
    """Start the heartbeat of this worker."""
    from mlengine_project.operations.monitoring import heartbeats

    heartbeats.start("worker")


@worker_process_init.connect
def start_refresher(**_: Any) -> None:
    """Start the background refresher in each child of a worker that processes candles."""
    from mlengine_project.operations.monitoring.background_refresher import refresher

    if "live" in app.amqp.queues.consume_from:
        refresher.start()


@worker_shutting_down.connect
def stop_heartbeat(**_: Any) -> None:
    """Stop the heartbeat of this worker."""
    from mlengine_project.operations.monitoring import heartbeats

    heartbeats.stop("worker")
