"""Web processes by the command of the Dockerfile: a start on a busy machine, first predictions, many callers."""

import http.client
import json
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import psutil
import psycopg
import pytest
import redis
from celery import Celery
from django.core.management import call_command

from marketdata import clock
from marketdata.storage import candles
from mlengine_project.operations.doctor import MAX_CONNECTIONS, OTHER_WEB_CONNECTIONS
from mlengine_project.settings import redis_prefix
from signals import services
from tests.champions import STEP, bootstrap_champions, make_markets, store_candles
from tests.flows import processes

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.long]
START_SECONDS = 240
"""Time limit of the test, long since the machine is busy on purpose."""
FACTOR = 50
"""The first prediction of a process takes at most so many times as long as its later ones."""
REQUEST_THREADS = 3
READS = ("/markets", "/signals?symbol=BTCUSDT", "/candles?symbol=ETHUSDT&limit=50", "/models/status", "/health/ready")
NOWHERE = type("Nowhere", (), {"base_url": "http://127.0.0.1:1", "stream_url": "ws://127.0.0.1:1"})


@pytest.fixture
def started(tmp_path, settings):
    """Processes of a small production without a feed."""
    settings.BINANCE_API_URL = NOWHERE.base_url
    own_redis, redis_url = processes.start_redis(tmp_path)
    environment = processes.engine_environment(tmp_path, NOWHERE, redis_url)
    more = {"RATE_LIMIT": "0", "OMP_NUM_THREADS": "1", "REQUEST_THREADS": str(REQUEST_THREADS)}
    running = processes.Processes(tmp_path, environment | more)
    running.port, running.redis = processes.free_port(), redis.Redis.from_url(redis_url)
    try:
        yield running
    finally:
        running.stop()
        own_redis.terminate()
        own_redis.wait()
        clock.clear_cached_reading()


@pytest.fixture
def history(transactional_db, fresh_engine):
    """Markets with candles up to now, and champions."""
    markets = make_markets(until=clock.wall_ms() // STEP * STEP)
    bootstrap_champions()
    return markets


def bring_up_to_date(markets):
    """Store the candles closed since, with predictions and signals, so that the newest is recent."""
    newest = candles.newest_open(markets)[markets[0].pk] + STEP
    for market in markets:
        store_candles(market, newest, (clock.wall_ms() - newest) // STEP)
    services.advance()


def serve(started, workers):
    return started.start("web", *processes.web_words(started.port, workers))


def workers_of(server):
    """Process ids of the workers a server runs now."""
    children = psutil.Process(server.pid).children()
    return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}


def send_request(started, method, path, body=None, **more):
    """Status, seconds and content of one request on a connection of its own."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=60)
    headers = {"X-API-Key": started.environment["API_KEY"], "Content-Type": "application/json", **more}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, time.monotonic() - begun, content


@contextmanager
def busy_machine():
    """Keep every core busy."""
    words = [sys.executable, "-c", "while True: pass"]
    burning = [psutil.Popen(words) for _ in range(psutil.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def test_slow_start_keeps_workers_and_the_first_prediction_is_fast(started, history):
    with busy_machine():
        server = serve(started, workers=2)
        processes.wait_until(lambda: len(workers_of(server)) == 2, 60, "two workers begin")
        begun = workers_of(server)
        processes.wait_until(lambda: processes.answers(started.port), START_SECONDS, f"one answers\n{started.logs()}")
        loaded = lambda: started.logs().count("Application startup complete") == 2  # noqa: E731
        processes.wait_until(loaded, START_SECONDS, f"both have loaded\n{started.logs()}")
        assert workers_of(server) == begun, started.logs()
    started.kill("web")

    serve(started, workers=1)
    processes.wait_until(lambda: processes.answers(started.port), START_SECONDS, f"it answers\n{started.logs()}")
    bring_up_to_date(history)
    seconds = []
    for _ in range(8):
        started.redis.flushdb()
        question = {"symbol": "BTCUSDT", "horizon": 18}
        # With a header that is not ordinary every answer is Django's, none one from memory.
        status, took, content = send_request(started, "POST", "/predictions", question, Pragma="no-cache")
        assert status == 200, content
        seconds.append(took)
    assert seconds[0] <= FACTOR * statistics.median(seconds[1:]), seconds


def test_many_callers_share_a_few_connections(started, history):
    serve(started, workers=2)
    processes.wait_until(lambda: processes.answers(started.port), START_SECONDS, f"it answers\n{started.logs()}")
    bring_up_to_date(history)
    statuses, most, stop = Counter(), [], threading.Event()

    def caller(number):
        for turn in range(12):
            if (number + turn) % 6 == 5:
                status, _, content = send_request(started, "POST", "/predictions", {"symbol": "BTCUSDT", "horizon": 72})
            else:
                status, _, content = send_request(started, "GET", READS[(number + turn) % 6])
            statuses[status if status == 200 else (status, content)] += 1

    def count():
        with psycopg.connect(processes.database_url(), autocommit=True) as database:
            while not stop.wait(0.1):
                most.append(web_connections(database))

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(32)]
    counting = threading.Thread(target=count)
    for thread in (counting, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    stop.set()
    counting.join()
    assert statuses == {200: 32 * 12}
    assert 0 < max(most) <= 2 * (REQUEST_THREADS + OTHER_WEB_CONNECTIONS)


def web_connections(database):
    return connections_of(database, "web")


def connections_of(database, kind):
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    return database.execute(query, [f"mlengine {kind}"]).fetchone()[0]


def test_workers_and_beat_close_their_connections(started, history):
    call_command("install_schedule")
    worker = processes.worker_words()
    trainer = [*worker[: worker.index("-Q")], "-Q", "training", "-c", "1", "-n", "trainer@localhost"]
    started.start("worker", *worker)
    started.start("trainer", *trainer)
    beat = [sys.executable, "-m", "celery", "-A", "mlengine_project", "beat", "-s", str(started.folder / "beat")]
    started.start("beat", *beat)
    tasks = Celery(broker=started.environment["REDIS_URL"])
    prefix = redis_prefix(started.environment["REDIS_URL"])
    tasks.conf.broker_transport_options = {"global_keyprefix": prefix}
    with psycopg.connect(processes.database_url(), autocommit=True) as database:
        # The heartbeats of both workers, and the refresher in the child that answers candles; none in the trainer's.
        rests = lambda: connections_of(database, "worker") == 3  # noqa: E731
        processes.wait_until(rests, START_SECONDS, f"the workers rest\n{started.logs()}")
        for _ in range(30):
            tasks.send_task("signals.tasks.sweep_outbox", queue="live")
        waiting = lambda: not started.redis.keys(f"{prefix}live")  # noqa: E731
        processes.wait_until(waiting, 60, f"the tasks are done\n{started.logs()}")
        processes.wait_until(rests, 10, "what the tasks opened is closed")
        assert connections_of(database, "beat") <= MAX_CONNECTIONS["scheduler"]
        started.stop()
        processes.wait_until(lambda: connections_of(database, "worker") == 0, 10, "nothing is left")


@pytest.mark.django_db(transaction=True)
def test_start_without_a_database_is_reported(started):
    started.environment["DATABASE_URL"] = f"postgres://postgres@127.0.0.1:{processes.free_port()}/none"
    serve(started, workers=1)
    processes.wait_until(lambda: processes.answers(started.port), START_SECONDS, f"it answers\n{started.logs()}")
    status, _, content = send_request(started, "GET", "/health/ready")
    assert (status, json.loads(content)["causes"]) == (503, ["database", "loading"])
