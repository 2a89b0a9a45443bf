"""Wires the websocket of `signals` to the authentication of `access`, which it may not import itself."""

from typing import Any

from mlengine_project.access import services as access
from signals.consumers import SignalConsumer


def signal_consumer() -> Any:
    """The consumer at /ws/signals, told how to know a key and a ticket."""
    return SignalConsumer.as_asgi(authenticate_key=access.authenticate_key, redeem_ticket=access.redeem_ticket)
