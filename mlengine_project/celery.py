"""The Celery app: one for all processes, in memory when embedded.

Queues: `live` (candles to signals, never behind anything slow), `default`, and `training`.
Truth is in the database, not in a queue: every task may be lost, late or doubled without harm.
"""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init, worker_process_init, worker_ready, worker_shutting_down

from mlengine_project import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

broker.install()
app = Celery("mlengine")
# `current_app` is per thread: without this, pool threads would use an app without a broker or results.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def refuse_without_redis() -> None:
    """End a worker or beat started alone, before it touches anything: no other process could reach its broker."""
    from django.conf import settings

    is_celery = Path(sys.argv[0]).name in {"celery", "__main__.py"} and {"worker", "beat"} & set(sys.argv[1:])
    if is_celery and settings.EMBEDDED:
        sys.exit("REDIS_URL is not set: only `manage.py up` runs a worker and beat, inside itself.")


refuse_without_redis()


@worker_init.connect
@beat_init.connect
def refuse_bad_settings(**_: Any) -> None:
    """Servers are not checked by Django itself."""
    from mlengine_project.checks import stop_on_errors

    stop_on_errors()


@worker_ready.connect
def start_heartbeat(**_: Any) -> None:
    """Let operators see which worker lives and what it has loaded."""
    from mlengine_project.operations import heartbeats

    heartbeats.start("worker")


@worker_process_init.connect
def start_companion(**_: Any) -> None:
    """Each child of a worker that answers candles has champions and windows of its own."""
    from mlengine_project.operations.companion import companion

    if "live" in app.amqp.queues.consume_from:
        companion.start()


@worker_shutting_down.connect
def stop_heartbeat(**_: Any) -> None:
    """Stop telling that this worker lives."""
    from mlengine_project.operations import heartbeats

    heartbeats.stop("worker")
