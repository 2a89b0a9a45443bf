"""Real processes with private PostgreSQL and Redis: faults are reported within fifteen seconds."""

import json
import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
import redis

from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from tests.chaos.engine import Engine
from tests.flows import processes

pytestmark = [pytest.mark.long, pytest.mark.postgres, pytest.mark.redis]
WITHIN_SECONDS = 15.0 + 2.0
"""Fifteen seconds, and two for the cached readiness."""


@pytest.fixture(scope="module")
def engine():
    """Running web, worker, beat and stream, in a folder accessible to the user `postgres`."""
    exchange = SimulatedExchange(source=CandleGenerator(("BTCUSDT", "ETHUSDT"), 1), seed=1, speed=1.0)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        exchange,
        Engine(Path(folder), exchange, web=True) as running,
    ):
        running.wait_for_first_candle(400)
        processes.wait_until(lambda: processes.answers(running.port), 120, "the web server answers")
        wait_until(lambda: not faults(running), 120)
        yield running


def send_request(engine, path):
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.port}{path}", headers={"X-API-Key": engine.environment["API_KEY"]}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def causes(engine):
    return set(send_request(engine, "/health/ready")["causes"])


def faults(engine):
    """Messages of unhealthy parts, except the missing champions."""
    detailed = send_request(engine, "/health/detailed")
    return {
        name: part["message"]
        for name, part in detailed.items()
        if isinstance(part, dict) and part.get("status") in {"degraded", "unhealthy"} and name != "models"
    }


def wait_until(condition, seconds=WITHIN_SECONDS):
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return
        time.sleep(0.5)
    pytest.fail(f"not within {seconds} s")


def execute(engine, *statements):
    with psycopg.connect(engine.postgres.url, autocommit=True, options="-c search_path=ml,public") as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET transaction_read_only = off")
        for statement in statements:
            connection.execute(statement)


def test_a_database_that_became_read_only(engine):
    execute(engine, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: "database_read_only" in causes(engine))
        assert "does not accept writes" in faults(engine)["database"]
    finally:
        execute(engine, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    wait_until(lambda: "database" not in faults(engine), 60)


def test_a_candle_from_the_future(engine):
    execute(
        engine,
        "INSERT INTO candles (market_id, open_time, open, high, low, close, volume, origin, revision, received_at) "
        "SELECT id, 3786912000000, 9, 9, 9, 9, 1, 'import', 0, now() FROM markets WHERE symbol = 'BTCUSDT'",
    )
    try:
        wait_until(lambda: "candles_from_the_future" in causes(engine))
        assert send_request(engine, "/health/detailed")["status"] == "unhealthy"
    finally:
        execute(engine, "DELETE FROM candles WHERE open_time = 3786912000000")
    wait_until(lambda: "candles_from_the_future" not in causes(engine))


@pytest.mark.parametrize(("name", "part"), [("beat", "beat"), ("worker", "celery"), ("stream", "stream")])
def test_a_process_that_hangs(engine, name, part):
    group = engine.roots()[name]
    os.killpg(group, signal.SIGSTOP)
    try:
        wait_until(lambda: "no heartbeat for" in faults(engine).get(part, ""))
    finally:
        os.killpg(group, signal.SIGCONT)
    wait_until(lambda: part not in faults(engine), 90)


def test_a_beat_whose_rows_lie_ahead_of_now_corrects_them(engine):
    execute(engine, "UPDATE django_celery_beat_periodictask SET last_run_at = now() + interval '400 days'",
            "UPDATE django_celery_beat_periodictasks SET last_update = now()")  # fmt: skip
    wait_until(lambda: "beat" not in faults(engine) and not ahead(engine))


def ahead(engine):
    with psycopg.connect(engine.postgres.url, options="-c search_path=ml,public") as connection:
        query = "SELECT count(*) FROM django_celery_beat_periodictask WHERE last_run_at > now() + interval '1 minute'"
        return connection.execute(query).fetchone()[0]


def test_rows_switched_off(engine):
    row = "UPDATE django_celery_beat_periodictask SET enabled = %s WHERE name = 'advance markets'"
    execute(engine, row % "false")
    try:
        wait_until(lambda: "switched off: advance markets" in faults(engine).get("beat", ""))
    finally:
        execute(engine, row % "true")


@pytest.mark.parametrize(
    ("spoil", "mend", "message"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "memory is full"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read-only replica"),
    ],
)
def test_a_redis_that_refuses_writes(engine, spoil, mend, message):
    client = redis.Redis.from_url(engine.redis.url)
    client.execute_command(*spoil)
    try:
        wait_until(lambda: message in faults(engine).get("cache", ""))
        assert "cache" not in causes(engine), "predictions are served without it"
    finally:
        client.execute_command(*mend)
    wait_until(lambda: "cache" not in faults(engine), 60)


def test_a_redis_that_is_away(engine):
    engine.kill("redis")
    try:
        wait_until(lambda: faults(engine).get("cache") == "does not answer")
    finally:
        engine.start("redis")
    wait_until(lambda: "cache" not in faults(engine), 60)


def test_a_database_that_is_away(engine):
    engine.kill("postgres")
    try:
        wait_until(lambda: causes(engine) == {"database"})
    finally:
        engine.start("postgres")
    wait_until(lambda: "database" not in causes(engine), 60)
    since, until = time.time(), time.monotonic() + 90
    while not engine.is_back("worker", since):
        assert time.monotonic() < until, "the worker writes its heartbeat again"
        engine.watch(0.5)  # restarts ended processes, like compose
    print("ended by themselves:", dict(engine.ended))
