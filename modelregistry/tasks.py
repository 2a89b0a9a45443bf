"""Tasks of the training queue: hands for a run that asked for them."""

from collections.abc import Callable

from celery import shared_task

from modelregistry import hand


@shared_task(ignore_result=True, expires=3600)
def lend_hand(run: str) -> None:
    """Do parts of a run in a process of its own, until none is left."""
    hand.start(run).wait()


def invite_workers(run: str, hands: int) -> Callable[[], None]:
    """Ask so many workers of the training queue, on whatever machine; they leave when the run is over."""
    for _ in range(hands):
        lend_hand.delay(run)
    return lambda: None
