"""Candles from the exchange to subscribers: no signal is lost, repeated or out of order."""

import asyncio
import threading
import time
from types import SimpleNamespace

import orjson
import pytest
import redis
from channels.db import database_sync_to_async as sync_to_async

from indicators.features import WARMUP
from marketdata import clock
from marketdata.feed import supervisor
from marketdata.models import Candle, Market
from predictions.models import PredictionLog
from signals import services
from signals.delivery.hub import hub
from signals.delivery.websocket import SignalConsumer
from signals.models import OutboxMessage, SignalLog
from tests.champions import BEGIN, STEP, bootstrap_champions, make_markets
from tests.websockets import WebsocketCommunicator

pytestmark = pytest.mark.django_db(transaction=True)

CANDLES = 6


async def listen():
    """A websocket subscribed to both symbols."""
    application = SignalConsumer.as_asgi(
        authenticate_key=lambda key: SimpleNamespace(key_id=key), redeem_ticket=lambda ticket: None
    )
    client = WebsocketCommunicator(application, "/ws/signals", headers=[(b"x-api-key", b"k")])
    await client.connect()
    await client.send_to(
        text_data='{"type":"subscribe","symbols":["BTCUSDT","ETHUSDT"],"after":{"BTCUSDT":0,"ETHUSDT":0}}'
    )
    frames = [orjson.loads((await client.receive_output(timeout=3))["text"]) for _ in range(2)]
    assert [frame["type"] for frame in frames] == ["authenticated", "subscribed"]
    return client


async def receive_signals(client, count):
    received = []
    while len(received) < count:
        frame = orjson.loads((await client.receive_output(timeout=10))["text"])
        if frame["type"] == "signal":
            received.append(frame)
    return received


def prepare():
    make_markets(count=WARMUP + 5)
    bootstrap_champions()


def check_facts(exchange, n_candles):
    """Compare the database with the candles closed by the exchange."""
    for market in Market.objects.all():
        closed = exchange.ledger.final(market.symbol)
        stored = dict(Candle.objects.filter(market=market, open_time__gte=BEGIN).values_list("open_time", "close"))
        assert set(stored) == set(closed)
        assert all(float(stored[at]) == pytest.approx(kline.close, abs=5e-9) for at, kline in closed.items())
        seqs = SignalLog.objects.filter(market=market).order_by("candle_time").values_list("seq", flat=True)
        assert list(seqs) == list(range(1, n_candles + 1))
        for horizon in (6, 18, 36, 72):
            assert PredictionLog.objects.filter(market=market, horizon=horizon).count() == n_candles
    assert not OutboxMessage.objects.filter(sent_at__isnull=True).exists()


def in_order(payloads):
    """Ids by symbol, in order of arrival."""
    found = {"BTCUSDT": [], "ETHUSDT": []}
    for output in payloads:
        found[output["symbol"]].append(output["id"])
    return found


def logged_order():
    return {
        symbol: [
            str(key) for key in SignalLog.objects.filter(symbol=symbol).order_by("seq").values_list("id", flat=True)
        ]
        for symbol in ("BTCUSDT", "ETHUSDT")
    }


def move(exchange, candles):
    """Close candles one at a time, with an advance after each."""
    for _ in range(candles):
        exchange.advance_to(exchange.now_ms() + STEP)
        clock.clear_cached_reading()
        services.advance()


async def test_every_close_is_stored_predicted_and_published_once(exchange):
    await sync_to_async(prepare)()
    await sync_to_async(services.advance)()  # live_since is the newest candle of history
    client = await listen()
    await sync_to_async(move)(exchange, CANDLES)
    received = await receive_signals(client, 2 * (CANDLES + 1))
    await sync_to_async(check_facts)(exchange, CANDLES + 1)
    assert in_order(frame["signal"] for frame in received) == await sync_to_async(logged_order)()
    assert await client.receive_nothing(timeout=0.1)
    await client.disconnect()


async def test_redis_and_websocket_receive_the_same_signals_in_order(exchange, with_redis):
    await sync_to_async(prepare)()
    subscriber = redis.Redis.from_url(with_redis).pubsub(ignore_subscribe_messages=True)
    subscriber.psubscribe("signals:*")
    client = await listen()
    await sync_to_async(services.advance)()
    await sync_to_async(move)(exchange, CANDLES)
    received = await receive_signals(client, 2 * (CANDLES + 1))
    messages = []
    while len(messages) < len(received):
        message = subscriber.get_message(timeout=5)
        messages += [message] if message else []
    assert subscriber.get_message(timeout=0.1) is None
    published = in_order(orjson.loads(message["data"]) for message in messages)
    assert published == in_order(frame["signal"] for frame in received) == await sync_to_async(logged_order)()
    assert all(
        message["channel"].decode() == f"signals:{orjson.loads(message['data'])['symbol']}" for message in messages
    )
    held = await sync_to_async(lambda: redis.Redis.from_url(with_redis).keys("prediction:*"))()
    newest = BEGIN // 1000 + (CANDLES - 1) * 300
    assert f"prediction:BTCUSDT:6:{newest}".encode() in held
    await sync_to_async(check_facts)(exchange, CANDLES + 1)
    subscriber.close()
    await client.disconnect()


async def test_signals_are_published_in_order_after_a_redis_outage(exchange, with_redis, settings):
    await sync_to_async(prepare)()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = settings.CACHES | {"shared": {**settings.CACHES["shared"], "LOCATION": settings.REDIS_URL}}
    await sync_to_async(services.advance)()
    await sync_to_async(move)(exchange, 2)
    assert await OutboxMessage.objects.filter(sent_at__isnull=True).acount() == 6
    settings.REDIS_URL = with_redis
    subscriber = redis.Redis.from_url(with_redis).pubsub(ignore_subscribe_messages=True)
    subscriber.psubscribe("signals:*")
    await asyncio.sleep(0.1)
    await sync_to_async(services.advance)()
    messages = [subscriber.get_message(timeout=5) for _ in range(6 + 1)]
    output = [orjson.loads(message["data"]) for message in messages if message]
    assert in_order(output) == await sync_to_async(logged_order)()
    subscriber.close()


def test_live_stream_drives_the_signals(exchange, transactional_db):
    prepare()
    services.advance()
    stop = threading.Event()
    took = []

    def closed(frames):
        begun = time.perf_counter()
        services.advance(frames=frames)
        took.append(time.perf_counter() - begun)

    def follow():
        from django.db import connection

        try:
            supervisor.run(lambda: list(Market.objects.enabled()), closed, stop)
        finally:
            connection.close()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        until(lambda: exchange.connections if hasattr(exchange, "connections") else True)
        time.sleep(1.0)
        for done in range(1, CANDLES + 1):
            exchange.advance_to(exchange.now_ms() + STEP)
            until(lambda: SignalLog.objects.count() >= 2 * (done + 1))  # noqa: B023
    finally:
        stop.set()
        thread.join(10)
    check_facts(exchange, CANDLES + 1)
    assert not hub._connections


def until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)
