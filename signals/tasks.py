"""Celery tasks of the live path, scoring and archive."""

from celery import shared_task

from predictions.challengers import silent
from predictions.log import archive
from predictions.scoring import outcomes as prediction_outcomes
from signals import outcomes, services
from signals.delivery import publisher
from signals.log.archive import SIGNALS


@shared_task(ignore_result=True, expires=50)
def schedule_advance() -> None:
    """Enqueue `advance` for a few seconds after a near close, or at once."""
    advance_markets.apply_async(countdown=services.seconds_until_advance())


@shared_task(ignore_result=True, expires=240)
def advance_markets() -> None:
    """Bring every enabled market up to date."""
    services.advance()


@shared_task(ignore_result=True, expires=25)
def sweep_outbox() -> None:
    """Publish signals left unsent by a crash between commit and send."""
    publisher.drain()


@shared_task(ignore_result=True, expires=240)
def score_outcomes() -> None:
    """Score predictions and signals that are due."""
    prediction_outcomes.score_predictions()
    outcomes.score_signals()


@shared_task(ignore_result=True, expires=3600)
def archive_logs() -> None:
    """Archive or delete log rows older than the hot period."""
    archive.archive_log(archive.PREDICTIONS)
    archive.archive_log(SIGNALS)
    silent.delete_old_forecasts()
