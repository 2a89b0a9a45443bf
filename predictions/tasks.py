"""Celery tasks of challengers, beside the live path."""

from celery import shared_task

from predictions import challenger_scores, challengers


@shared_task(ignore_result=True, expires=240)
def ask_challengers() -> None:
    """Forecast with challengers and score the forecasts that are due."""
    challengers.forecast_challengers()
    challenger_scores.score_challengers()
