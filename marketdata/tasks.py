"""Celery tasks that check and repair stored candles."""

from celery import shared_task

from marketdata import services


@shared_task(ignore_result=True, expires=240)
def sweep_quality() -> None:
    """Re-read the newest candles, fill holes, record absences."""
    services.sweep_quality(services.enabled_markets())


@shared_task(ignore_result=True, expires=3600)
def re_read_history() -> None:
    """Re-read older candles; corrections by the exchange become revisions."""
    services.re_read(services.enabled_markets())
