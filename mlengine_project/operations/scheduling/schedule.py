"""The beat schedule. Missing rows are created; existing ones, with edits made in the admin, are kept."""

from dataclasses import dataclass

from django_celery_beat.models import CrontabSchedule, PeriodicTask


@dataclass(frozen=True)
class Entry:
    """One row of the schedule: name, task, and the minutes and hours it runs at (UTC)."""

    name: str
    task: str
    minute: str = "*"
    hour: str = "*"
    description: str = ""


SCHEDULE = (
    Entry(
        "advance markets",
        "signals.tasks.schedule_advance",
        description="Seconds after each close; otherwise a sweep.",
    ),
    Entry("sweep outbox", "signals.tasks.sweep_outbox", description="Publish what a crash left unsent."),
    Entry("score outcomes", "signals.tasks.score_outcomes", "1-59/5", description="Score what has fallen due."),
    Entry("sweep data quality", "marketdata.tasks.sweep_quality", "1-59/5", description="Re-read, repair, record."),
    Entry(
        "re-read history",
        "marketdata.tasks.re_read_history",
        "50",
        "2",
        description="Corrections of the exchange.",
    ),
    Entry(
        "ask challengers",
        "predictions.tasks.ask_challengers",
        "2-59/5",
        description="Predictions of candidates, stored beside those of the champions.",
    ),
    Entry("archive logs", "signals.tasks.archive_logs", "40", "3", description="Rows older than 90 days into files."),
    Entry(
        "beat heartbeat",
        "mlengine_project.operations.tasks.beat_heartbeat",
        description="Heartbeat of beat.",
    ),
    Entry("requeue jobs", "mlengine_project.operations.tasks.requeue_jobs", "*/5", description="Orphaned jobs."),
    Entry(
        "bootstrap",
        "mlengine_project.operations.tasks.request_bootstrap",
        "4-59/5",
        description="History of new markets; first models where there are none.",
    ),
    Entry(
        "daily training",
        "mlengine_project.operations.tasks.request_daily_training",
        "20",
        "0",
        description="A fresh candidate for each kind, on the training queue.",
    ),
    Entry(
        "prune models",
        "mlengine_project.operations.tasks.request_daily_retention",
        "20",
        "2",
        description="Remove the files of old model versions (MODEL_RETENTION), on the training queue.",
    ),
)


def install_schedule() -> list[str]:
    """Create the missing rows; returns their names."""
    created = []
    for entry in SCHEDULE:
        if PeriodicTask.objects.filter(name=entry.name).exists():
            continue
        crontab, _ = CrontabSchedule.objects.get_or_create(
            minute=entry.minute,
            hour=entry.hour,
            day_of_week="*",
            day_of_month="*",
            month_of_year="*",
            timezone="UTC",
        )
        PeriodicTask.objects.create(name=entry.name, task=entry.task, crontab=crontab, description=entry.description)
        created.append(entry.name)
    return created
