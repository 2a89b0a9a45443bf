"""Tasks that look after stored candles."""

from celery import shared_task

from marketdata import services


@shared_task(ignore_result=True, expires=240)
def sweep_quality() -> None:
    """Re-read the newest candles, repair holes, record what the exchange does not have."""
    services.sweep_quality(services.enabled_markets())


@shared_task(ignore_result=True, expires=3600)
def re_read_history() -> None:
    """Read older candles again: what the exchange corrected becomes a revision."""
    services.re_read(services.enabled_markets())
