"""Test client of the websocket consumer, and functions that write signals.

Import the fixture beside the functions: ``from tests.signals.sockets import two_markets``.
"""

from types import SimpleNamespace

import orjson
import pytest
from channels.db import database_sync_to_async as sync_to_async

from marketdata.models import Market
from signals.delivery import publisher
from signals.delivery.hub import hub
from signals.delivery.websocket import SignalConsumer
from signals.drafting import Draft
from signals.log.recording import record
from signals.models import OutboxMessage
from tests.champions import BEGIN, STEP
from tests.conftest import use_redis
from tests.signals.documented import check_frame
from tests.websockets import WebsocketCommunicator

KEYS = {"good-key": SimpleNamespace(key_id="k1"), "other-key": SimpleNamespace(key_id="k2")}
REVOKED: set[str] = set()


@pytest.fixture(autouse=True)
def two_markets(transactional_db, settings, request):
    if not settings.EMBEDDED:
        use_redis(settings, request.getfixturevalue("redis_url"))
    settings.CORS_ORIGINS = ["http://localhost:3000"]
    REVOKED.clear()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        Market.objects.create(symbol=symbol, source="simulated")
    yield
    hub.stop()


def write_signals(symbol, count=1, publish=True):
    """Write signals for the next candles of a symbol, and publish them."""
    market = Market.objects.get(symbol=symbol)
    first = OutboxMessage.objects.filter(symbol=symbol).count()
    opens = [BEGIN + k * STEP for k in range(first, first + count)]
    record([Draft(market, open_ms, 100.0, reasons=["LATE"]) for open_ms in opens], opens[-1] + 900_000)
    if publish:
        publisher.drain()


write_signals_async = sync_to_async(write_signals)


def connect(headers=(), user=None):
    tickets = {"one-use": SimpleNamespace(key_id="k1")}
    application = SignalConsumer.as_asgi(
        authenticate_key=KEYS.get,
        redeem_ticket=lambda ticket: tickets.pop(ticket, None),
        revoked_keys=lambda ids: ids & REVOKED,
    )
    client = WebsocketCommunicator(application, "/ws/signals", headers=[(b"host", b"localhost:8000"), *headers])
    client.scope["user"] = user or SimpleNamespace(is_authenticated=False)
    return client


async def receive_frame(client):
    frame = await client.receive_output(timeout=3)
    assert frame["type"] == "websocket.send", frame
    return check_frame(orjson.loads(frame["text"]))


async def receive_close(client):
    frame = await client.receive_output(timeout=3)
    assert frame["type"] == "websocket.close", frame
    return frame["code"]


async def authenticated_client(key="good-key"):
    client = connect([(b"x-api-key", key.encode())])
    assert (await client.connect())[0]
    assert await receive_frame(client) == {"type": "authenticated"}
    return client


async def send_message(client, **message):
    await client.send_to(text_data=orjson.dumps(message).decode())
