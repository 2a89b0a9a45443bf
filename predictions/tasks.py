"""Celery tasks of challengers, beside the live path."""

from celery import shared_task

from predictions.challengers import scores, silent


@shared_task(ignore_result=True, expires=240)
def ask_challengers() -> None:
    """Forecast with challengers and score the forecasts that are due."""
    silent.forecast_challengers()
    scores.score_challengers()
