"""Tasks of the training queue: workers for a training run."""

from collections.abc import Callable

from celery import shared_task

from modelregistry import hand


@shared_task(ignore_result=True, expires=3600)
def lend_hand(run: str) -> None:
    """Process parts of a run in a separate process until none is left."""
    hand.start(run).wait()


def invite_workers(run: str, hands: int) -> Callable[[], None]:
    """Queue tasks for workers of the training queue; they end with the run."""
    for _ in range(hands):
        lend_hand.delay(run)
    return lambda: None
