"""Tasks beside the live path."""

from celery import shared_task

from predictions import challenger_scores, challengers


@shared_task(ignore_result=True, expires=240)
def ask_challengers() -> None:
    """Let candidates answer silently, and score what has fallen due."""
    challengers.answer_silently()
    challenger_scores.score_challengers()
