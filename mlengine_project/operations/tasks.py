"""Tasks that keep the engine running; each calls one function."""

from celery import shared_task

from mlengine_project.operations import heartbeats, job_runs


@shared_task(ignore_result=True)
def run_job(job_id: str) -> None:
    """Run one job, and request the retention run that follows a training."""
    from mlengine_project.operations import jobs

    job_runs.run(job_id)
    jobs.request_retention_after(job_id)


@shared_task(ignore_result=True, expires=50)
def beat_heartbeat() -> None:
    """Prove that beat schedules and a worker works."""
    heartbeats.record("beat", "beat")


@shared_task(ignore_result=True, expires=240)
def requeue_jobs() -> None:
    """Queue again what a lost queue or a dead worker left behind."""
    from mlengine_project.operations import jobs

    jobs.requeue_pending()
    heartbeats.forget_the_dead()


@shared_task(ignore_result=True, expires=240)
def request_bootstrap() -> None:
    """Request what a new installation or a new market still needs."""
    from mlengine_project.operations import bootstrap

    bootstrap.sweep()


@shared_task(ignore_result=True, expires=3600)
def request_daily_training() -> None:
    """Ask for today's training, once."""
    from mlengine_project.operations import jobs

    jobs.request_daily_training()


@shared_task(ignore_result=True, expires=3600)
def request_daily_retention() -> None:
    """Ask for today's removal of files of old model versions, once."""
    from mlengine_project.operations import jobs

    jobs.request_daily_retention()
