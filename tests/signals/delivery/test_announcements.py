"""Announcements between processes through Redis: hints only, signals are read from the log."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

import msgpack
import orjson
import pytest
import redis
from channels.db import database_sync_to_async as sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from marketdata import clock
from mlengine_project.settings import redis_prefix
from signals.delivery import publisher, websocket
from signals.delivery.announcements import symbols_in
from signals.delivery.hub import hub
from signals.models import OutboxMessage, SignalLog, SymbolSequence
from tests.conftest import use_redis
from tests.flows.processes import start_redis, wait_until
from tests.signals.sockets import (
    authenticated_client,
    receive_close,
    receive_frame,
    send_message,
    two_markets,  # noqa: F401  # a fixture
    write_signals_async,
)

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = 600.0


@pytest.fixture
def own_redis(two_markets, settings, redis_url):  # noqa: F811
    """Run as one of several processes, with a private Redis."""
    use_redis(settings, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def only_announcements(monkeypatch):
    """Disable polling: the hub reads the log only after announcements."""
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", NEVER)


def channel(settings):
    return f"{redis_prefix(settings.REDIS_URL)}__group__signals"


def subscribers(client, name):
    return client.pubsub_numsub(name)[0][1]


async def next_of(connection, kind):
    """Next frame of a type, skipping heartbeats."""
    while (frame := await receive_frame(connection))["type"] != kind:
        assert frame["type"] == "heartbeat", frame
    return frame


async def subscribed_client(client, settings, symbol="BTCUSDT"):
    """Subscribed websocket in a process that receives announcements."""
    connection = await authenticated_client()
    await send_message(connection, type="subscribe", symbols=[symbol])
    await next_of(connection, "subscribed")
    await next_of(connection, "snapshot")
    await sync_to_async(wait_until)(lambda: subscribers(client, channel(settings)) == 1, 10, "the hub subscribes")
    await asyncio.sleep(0.3)  # the poll after the subscription is over
    return connection


async def test_a_signal_published_by_another_service_is_not_delivered(own_redis, settings, only_announcements):
    connection = await subscribed_client(own_redis, settings)
    await write_signals_async("BTCUSDT")
    first = (await next_of(connection, "signal"))["signal"]
    forged = first | {"seq": 2, "signal_type": "buy", "id": "00000000-0000-4000-8000-000000000000"}
    assert own_redis.publish("signals:BTCUSDT", orjson.dumps(forged)) == 0, "the engine does not subscribe to it"
    assert await connection.receive_nothing(timeout=0.3)
    await write_signals_async("BTCUSDT")
    frame = await next_of(connection, "signal")
    assert (frame["seq"], frame["signal"]["signal_type"]) == (2, "hold")
    await connection.disconnect()


@pytest.mark.parametrize(
    "forged",
    [
        b"", b"\xc1", b"not msgpack", b"\x00" * 100, msgpack.packb([1, 2]), msgpack.packb({"symbols": "BTCUSDT"}),
        msgpack.packb({"symbols": [7, None, {}]}), msgpack.packb({"symbols": ["NOPE"] * 1000}),
        msgpack.packb({"type": "signals.announced", "symbols": ["BTCUSDT"], "seq": 9, "heads": {"BTCUSDT": 9}}),
    ],
)  # fmt: skip
async def test_a_forged_announcement_changes_nothing(own_redis, settings, only_announcements, monkeypatch, forged):
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.2)
    await write_signals_async("BTCUSDT", 2)
    connection = await subscribed_client(own_redis, settings)
    assert own_redis.publish(channel(settings), forged) == 1
    for _ in range(3):
        assert (await next_of(connection, "heartbeat"))["seq"] == {"BTCUSDT": 2}
    await write_signals_async("BTCUSDT")
    assert (await next_of(connection, "signal"))["seq"] == 3
    await connection.disconnect()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_announcement_gives_symbols_or_nothing(message):
    assert all(isinstance(symbol, str) for symbol in symbols_in(message))


async def test_many_false_announcements_cost_a_bounded_number_of_queries(own_redis, settings, only_announcements):
    connection = await subscribed_client(own_redis, settings)
    reads, read = [], hub._read_log

    def counted(symbols):
        reads.append(symbols)
        return read(symbols)

    hub._read_log = counted
    try:
        begun = clock.monotonic()
        while clock.monotonic() < begun + 1:
            own_redis.publish(channel(settings), msgpack.packb({"symbols": ["BTCUSDT"]}))
        assert 1 <= len(reads) <= 25
    finally:
        del hub._read_log
    await write_signals_async("BTCUSDT")
    assert (await next_of(connection, "signal"))["seq"] == 1
    await connection.disconnect()


async def test_a_lost_announcement_is_made_up_for_by_the_next_poll(own_redis, settings, monkeypatch):
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.5)
    connection = await subscribed_client(own_redis, settings)
    await write_signals_async("BTCUSDT", 2, publish=False)
    await OutboxMessage.objects.aupdate(sent_at=clock.wall_now())
    assert [(await next_of(connection, "signal"))["seq"] for _ in range(2)] == [1, 2]
    await connection.disconnect()


async def test_one_announcement_names_all_symbols_of_a_batch(own_redis, settings, only_announcements):
    connection = await subscribed_client(own_redis, settings)
    subscriber = own_redis.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe(channel(settings))
    await write_signals_async("BTCUSDT", 3, publish=False)
    await write_signals_async("ETHUSDT", 2, publish=False)
    assert await sync_to_async(publisher.drain)() == 5
    assert [(await next_of(connection, "signal"))["seq"] for _ in range(3)] == [1, 2, 3]
    messages = [message for _ in range(5) if (message := subscriber.get_message(timeout=0.2))]
    assert [msgpack.unpackb(message["data"])["symbols"] for message in messages] == [["BTCUSDT", "ETHUSDT"]]
    subscriber.close()
    await connection.disconnect()


async def test_a_log_restored_to_an_earlier_state_is_followed_and_its_next_signal_delivered(monkeypatch):
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.2)
    await write_signals_async("BTCUSDT", 3)
    connection = await authenticated_client()
    await send_message(connection, type="subscribe", symbols=["BTCUSDT"])
    assert (await receive_frame(connection))["seq"] == {"BTCUSDT": 3}
    await receive_frame(connection)
    await OutboxMessage.objects.filter(seq=3).adelete()
    await SignalLog.objects.filter(seq=3).adelete()
    await SymbolSequence.objects.aupdate(head=2)
    assert await receive_close(connection) == 1013
    connection = await authenticated_client()
    await send_message(connection, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 3})
    assert (await receive_frame(connection))["error"] == "AheadOfHead"
    await send_message(connection, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 2})
    assert (await receive_frame(connection))["seq"] == {"BTCUSDT": 2}
    await write_signals_async("BTCUSDT")
    assert (await receive_frame(connection))["seq"] == 3
    await connection.disconnect()


@pytest.fixture
def restartable_redis(two_markets, settings, tmp_path):  # noqa: F811
    """Redis that can be stopped and started again at the same address."""
    running = []

    def start():
        server, url = start_redis(tmp_path, running[0][1] if running else None)
        running.append((server, urlsplit(url).port))
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", running[0][1])) == 0, 10, "Redis listens")
        return url

    def stop():
        running[-1][0].kill()
        running[-1][0].wait()

    use_redis(settings, start())
    yield start, stop
    stop()


async def test_after_a_restart_of_redis_the_hub_subscribes_again(restartable_redis, settings, only_announcements):
    start, stop = restartable_redis
    client = redis.Redis.from_url(settings.REDIS_URL)
    connection = await subscribed_client(client, settings)
    await write_signals_async("BTCUSDT")
    assert (await next_of(connection, "signal"))["seq"] == 1
    stop()
    await sync_to_async(time.sleep)(1.5)
    start()
    await sync_to_async(wait_until)(lambda: subscribers(client, channel(settings)) == 1, 10, "the hub subscribes again")
    await write_signals_async("BTCUSDT", publish=False)
    assert await sync_to_async(publisher.drain)() == 1, "the first attempt succeeds on a new connection"
    assert (await next_of(connection, "signal"))["seq"] == 2
    client.close()
    await connection.disconnect()


async def test_without_redis_sockets_are_served_from_the_log_and_the_outbox_stays_unsent(
    restartable_redis, settings, monkeypatch
):
    start, stop = restartable_redis
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.5)
    client = redis.Redis.from_url(settings.REDIS_URL)
    connection = await subscribed_client(client, settings)
    stop()
    await write_signals_async("BTCUSDT", 2)
    assert [(await next_of(connection, "signal"))["seq"] for _ in range(2)] == [1, 2]
    assert await OutboxMessage.objects.filter(sent_at__isnull=True).acount() == 2
    start()
    assert await sync_to_async(publisher.drain)() == 2
    assert await connection.receive_nothing(timeout=1)
    client.close()
    await connection.disconnect()
