"""Celery tasks of operations; each calls one function."""

from celery import shared_task

from mlengine_project.operations import bootstrap, heartbeats, job_runs, jobs


@shared_task(ignore_result=True)
def run_job(job_id: str) -> None:
    """Run one job, and request the retention run that follows a training."""
    job_runs.run(job_id)
    jobs.request_retention_after(job_id)


@shared_task(ignore_result=True, expires=50)
def beat_heartbeat() -> None:
    """Record that beat sends tasks and a worker runs them."""
    heartbeats.record("beat", "beat")


@shared_task(ignore_result=True, expires=240)
def requeue_jobs() -> None:
    """Queue pending and orphaned jobs again, and prune stale heartbeats."""
    jobs.requeue_pending()
    heartbeats.prune_stale()


@shared_task(ignore_result=True, expires=240)
def request_bootstrap() -> None:
    """Request missing first models and the history of new markets."""
    bootstrap.sweep()


@shared_task(ignore_result=True, expires=3600)
def request_daily_training() -> None:
    """Request today's training, once."""
    jobs.request_daily_training()


@shared_task(ignore_result=True, expires=3600)
def request_daily_retention() -> None:
    """Request today's retention run of model files, once."""
    jobs.request_daily_retention()
