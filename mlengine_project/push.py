"""Connects the websocket of `signals` with the authentication of `access`, which it cannot import."""

from typing import Any

from mlengine_project.access import services as access
from mlengine_project.access.errors import TooManyWrongKeys
from mlengine_project.access.tickets import redeem_ticket
from signals.delivery.websocket import SignalConsumer


def signal_consumer() -> Any:
    """The consumer at /ws/signals, with verification of keys and tickets, and their revocations."""
    return SignalConsumer.as_asgi(
        authenticate_key=access.authenticate_key,
        redeem_ticket=redeem_ticket,
        revoked_keys=access.ended_keys,
        count_wrong_key=count_wrong_key,
    )


def count_wrong_key(address: str) -> bool:
    """Count a wrong key or ticket of an address; False over the limit."""
    try:
        access.count_wrong_key(address)
    except TooManyWrongKeys:
        return False
    return True
