"""Wires the websocket of `signals` to the authentication of `access`, which it may not import itself."""

from typing import Any

from mlengine_project.access import services as access
from mlengine_project.access.endings import ended_keys
from mlengine_project.access.tickets import redeem_ticket
from signals.consumers import SignalConsumer


def signal_consumer() -> Any:
    """The consumer at /ws/signals, told how to know a key and a ticket, and which keys have ended."""
    return SignalConsumer.as_asgi(
        authenticate_key=access.authenticate_key, redeem_ticket=redeem_ticket, ended_keys=ended_keys
    )
