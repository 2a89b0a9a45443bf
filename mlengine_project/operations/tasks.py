"""Celery tasks of operations; each calls one function."""

from celery import shared_task

from mlengine_project.operations.jobs import bootstrap, control, refreshing, runs
from mlengine_project.operations.monitoring import heartbeats


@shared_task(ignore_result=True)
def run_job(job_id: str) -> None:
    """Run one job; after a training refresh the champions, and request the retention run."""
    runs.run(job_id)
    refreshing.refresh_after(job_id)
    control.request_retention_after(job_id)


@shared_task(ignore_result=True, expires=50)
def beat_heartbeat() -> None:
    """Record that beat sends tasks and a worker runs them."""
    heartbeats.record("beat", "beat")


@shared_task(ignore_result=True, expires=240)
def requeue_jobs() -> None:
    """Queue pending and orphaned jobs again, and prune stale heartbeats."""
    control.requeue_pending()
    heartbeats.prune_stale()


@shared_task(ignore_result=True, expires=240)
def request_bootstrap() -> None:
    """Request missing first models and the history of new markets."""
    bootstrap.sweep()


@shared_task(ignore_result=True, expires=3600)
def request_daily_training() -> None:
    """Request today's training, once."""
    control.request_daily_training()


@shared_task(ignore_result=True, expires=3600)
def request_daily_retention() -> None:
    """Request today's retention run of model files, once."""
    control.request_daily_retention()
