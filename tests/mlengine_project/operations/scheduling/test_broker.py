"""A lost broker connection is a connection error, also with unacknowledged messages."""

import sqlite3
import sys
import time
from contextlib import suppress

import pytest
import redis
from kombu import Connection, Exchange, Queue

from mlengine_project.celery import app  # noqa: F401  (installs the transport)
from mlengine_project.operations.scheduling import broker
from tests.flows import processes

QUEUE = "test"


@pytest.fixture
def server(tmp_path):
    """A private Redis that can be killed and started."""
    private = processes.PrivateRedis(tmp_path)
    private.start()
    yield private
    private.kill()


def connection_with_an_unacknowledged_message(url):
    """State of a worker: an unacknowledged message, a pending read, and a channel for remote control."""
    connection = Connection(url)
    channel = connection.default_channel
    queue = Queue(QUEUE, channel=channel)
    queue.declare()
    with connection.Producer() as producer:
        producer.publish({"a": 1}, routing_key=QUEUE)
    message = queue.get(no_ack=False)
    assert message is not None
    queue.consume("tag", no_ack=False)
    remote_control = Queue(
        "control", Exchange("control", type="fanout"), channel=connection.channel(), auto_delete=True
    )
    remote_control.declare()
    remote_control.consume("control", no_ack=True)
    for _ in range(3):
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.2)
    assert channel._in_poll, "the read of the next message is pending when Redis ends"
    return connection, message


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_both_schemes_use_the_transport(scheme):
    assert Connection(f"{scheme}://localhost/0").get_transport_cls() is broker.Transport


def test_a_lost_connection_with_an_unacknowledged_message_is_collected_and_closed(server):
    connection, message = connection_with_an_unacknowledged_message(server.url)
    assert isinstance(connection.default_channel, broker.Channel)
    server.kill()
    connection.collect(socket_timeout=5)
    connection.close()  # raised AttributeError: 'NoneType' object has no attribute 'hostname'
    with pytest.raises(connection.connection_errors):
        message.ack()  # a task that ends afterwards; the worker expects exactly these errors


@pytest.mark.slow
def test_a_worker_holding_tasks_survives_the_end_of_redis(server, tmp_path):
    """A task waits for a locked database, unacknowledged, while Redis is killed; twice."""
    environment = {
        "DATABASE_URL": "",
        "REDIS_URL": server.url,
        "MLENGINE_STATE_DIR": str(tmp_path),
        "MLENGINE_ENV_FILE": "",
        "SECRET_KEY": "a-secret-key-for-a-test-of-processes-only-0123456789",
        "PYTHONUNBUFFERED": "1",
    }
    started = processes.Processes(tmp_path, environment)
    started.start("migrate", sys.executable, "manage.py", "migrate", "-v0").wait()
    worker = started.start("worker", *processes.worker_words())
    database = sqlite3.connect(tmp_path / "mlengine.sqlite3", isolation_level=None, timeout=20)

    def heartbeats():
        return database.execute("SELECT at FROM heartbeats WHERE part = 'beat'").fetchall()

    def send():
        words = (sys.executable, "-m", "celery", "-A", "mlengine_project", "call")
        started.start("call", *words, "mlengine_project.operations.tasks.beat_heartbeat").wait()

    try:
        send()
        processes.wait_until(heartbeats, 40, "the worker works")
        for _ in range(2):
            database.execute("BEGIN EXCLUSIVE")
            send()
            client = redis.Redis.from_url(server.url)
            processes.wait_until(lambda: client.keys("*unacked"), 15, "a task is held")  # noqa: B023
            server.kill()
            time.sleep(0.3)
            database.execute("ROLLBACK")
            time.sleep(0.3)
            server.start()
            before = heartbeats()
            send()
            processes.wait_until(lambda: heartbeats() != before, 40, "it works again")  # noqa: B023
            assert worker.poll() is None, started.logs()
        assert "Unrecoverable" not in started.logs()
    finally:
        started.stop()
        database.close()
