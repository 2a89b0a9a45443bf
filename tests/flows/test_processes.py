"""Recorded candles through real processes, with the feed and the worker killed in between."""

import asyncio
import json
import threading
import time

import pytest
import redis
import websockets

from indicators.features import WARMUP
from marketdata import clock, services
from marketdata.exchange.rest import RestSession
from marketdata.models import Candle, Market
from marketdata.simulator import open_exchange
from predictions.models import PredictionLog
from signals.models import OutboxMessage, SignalLog
from tests.champions import STEP, SYMBOLS, bootstrap_champions
from tests.flows import processes

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.candles,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
]
SPEED = 120
START_MS = 1_741_000_000_000 - 1_741_000_000_000 % STEP
HORIZONS = 4


class Subscribers:
    """A websocket client and a Redis subscriber, each in a thread, which record the signals they receive."""

    def __init__(self, port, key, redis_url):
        self.by_websocket, self.by_redis = [], []
        self.ready = threading.Barrier(3, timeout=30)
        self.leave = threading.Event()
        self.threads = [
            threading.Thread(target=lambda: asyncio.run(self._websocket(port, key)), daemon=True),
            threading.Thread(target=self._redis, args=(redis_url,), daemon=True),
        ]
        for thread in self.threads:
            thread.start()
        self.ready.wait()

    async def _websocket(self, port, key):
        address = f"ws://127.0.0.1:{port}/ws/signals"
        async with websockets.connect(address, additional_headers={"X-API-Key": key}) as connection:
            after = dict.fromkeys(SYMBOLS, 0)
            await connection.send(json.dumps({"type": "subscribe", "symbols": list(SYMBOLS), "after": after}))
            while json.loads(await connection.recv())["type"] != "subscribed":
                pass
            self.ready.wait()
            while not self.leave.is_set():
                try:
                    message = json.loads(await asyncio.wait_for(connection.recv(), 0.5))
                except TimeoutError:
                    continue
                if message["type"] == "signal":
                    self.by_websocket.append(message["signal"])

    def _redis(self, redis_url):
        subscriber = redis.Redis.from_url(redis_url).pubsub()
        subscriber.subscribe(*(f"signals:{symbol}" for symbol in SYMBOLS))
        self.ready.wait()
        while not self.leave.is_set():
            message = subscriber.get_message(ignore_subscribe_messages=True, timeout=0.5)
            if message is not None:
                self.by_redis.append(json.loads(message["data"]))
        subscriber.close()

    def stop(self):
        self.leave.set()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def exchange(candles_folder):
    paths = [candles_folder / f"{symbol}-5m.parquet" for symbol in SYMBOLS]
    with open_exchange(paths=paths, start_ms=START_MS, speed=SPEED) as running:
        yield running


@pytest.fixture
def engine(tmp_path, exchange, settings):
    """The processes of a small production, with history and champions."""
    settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = exchange.base_url, exchange.stream_url
    settings.SUPPORTED_SYMBOLS = list(SYMBOLS)
    own_redis, redis_url = processes.start_redis(tmp_path)
    bootstrap_champions()
    for market in services.seed_markets(SYMBOLS, "simulated"):
        with RestSession() as line:
            now = line.market_ms()
        services.backfill(market, now - (WARMUP + 100) * STEP, now)
    started = processes.Processes(tmp_path, processes.engine_environment(tmp_path, exchange, redis_url))
    started.redis_url, started.port = redis_url, processes.free_port()
    try:
        yield started
    finally:
        started.stop()
        own_redis.terminate()
        own_redis.wait()
        clock.clear_cached_reading()


def close_time_of(row):
    return clock.to_ms(row.candle_time)


def test_killed_feed_and_worker_lose_and_repeat_nothing(engine, exchange):
    engine.start("web", *processes.web_words(engine.port))
    processes.wait_until(lambda: processes.answers(engine.port), 40, f"the web process answers\n{engine.logs()}")
    subscribers = Subscribers(engine.port, engine.environment["API_KEY"], engine.redis_url)
    engine.start("worker", *processes.worker_words())
    engine.start("stream", *processes.stream_words())
    signals = SignalLog.objects

    processes.wait_until(lambda: signals.count() >= 8, 60, f"signals come\n{engine.logs()}")
    engine.kill("stream")
    engine.kill("worker")
    at_kill = signals.count()
    time.sleep(3 * STEP / 1000 / SPEED)
    engine.start("worker", *processes.worker_words())
    engine.start("stream", *processes.stream_words())
    unsent = OutboxMessage.objects.filter(sent_at__isnull=True)
    # Without beat nothing sweeps the outbox: the last kill comes between two candles.
    processes.wait_until(
        lambda: signals.count() >= at_kill + 16 and not unsent.exists(), 90, f"signals go on\n{engine.logs()}"
    )
    engine.kill("stream")

    last = max(close_time_of(row) for row in signals.all())
    processes.wait_until(
        lambda: not unsent.exists() and len(subscribers.by_websocket) >= signals.count(),
        30,
        "everything is published",
    )
    subscribers.stop()
    for market in Market.objects.enabled():
        own = list(signals.filter(market=market).order_by("seq"))
        first = min(close_time_of(row) for row in own)
        closed = {row.open_time: row for row in exchange.source.klines(market.symbol, first, last + 1).rows()}
        stored = {row.open_time: row for row in Candle.objects.filter(market=market, open_time__range=(first, last))}
        assert sorted(stored) == sorted(closed), "every closed candle of the stretch is stored once"
        for open_time, kline in closed.items():
            assert float(stored[open_time].close) == kline.close
            assert float(stored[open_time].volume) == pytest.approx(kline.volume, abs=1e-8)
        assert sorted(close_time_of(row) for row in own) == sorted(closed), "one signal or refusal per candle"
        assert [row.seq for row in own] == list(range(1, len(own) + 1))
        output = PredictionLog.objects.filter(market=market, candle_time__gte=clock.to_datetime(first))
        assert output.count() == HORIZONS * len(closed), "one prediction per market, candle and horizon"
        ids = [str(row.id) for row in own]
        assert [output["id"] for output in subscribers.by_websocket if output["symbol"] == market.symbol] == ids
        received = [output["id"] for output in subscribers.by_redis if output["symbol"] == market.symbol]
        assert list(dict.fromkeys(received)) == ids, "a repeat after a kill has the same id; nothing is missing"
