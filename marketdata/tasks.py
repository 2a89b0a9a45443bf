"""Tasks that look after stored candles."""

from celery import shared_task

from marketdata import services


@shared_task(ignore_result=True, expires=240)
def sweep_quality() -> None:
    """Re-read the newest candles, repair holes, record what the exchange does not have."""
    services.sweep_quality(services.enabled_markets())
