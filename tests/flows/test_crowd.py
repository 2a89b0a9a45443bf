"""Twenty concurrent advances of one candle in two processes: one set of rows, one message each."""

import json
import os
import subprocess
import sys
import uuid

import psycopg
import pytest
import redis

from tests.conftest import ROOT

PROCESSES = 2


def environment(tmp_path, **more):
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return kept | {
        "MLENGINE_STATE_DIR": str(tmp_path), "MODEL_PATH": str(tmp_path / "models"), "PYTHONPATH": str(ROOT),
        "BINANCE_API_URL": "http://127.0.0.1:1", "MLENGINE_ENV_FILE": "/nowhere", **more,
    }  # fmt: skip


def run(env, word, **more):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.flows.crowd", word], cwd=ROOT, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more,
    )  # fmt: skip


def crowd(env):
    """Prepare, let all processes load, start them together; returns the report of each."""
    prepared = run(env, "prepare")
    prepared.communicate(timeout=120)
    assert prepared.returncode == 0
    processes = [run(env, "advance") for _ in range(PROCESSES)]
    try:
        for process in processes:
            assert process.stdout.readline().strip() == "ready"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()


def check(reported, count):
    assert [one["failures"] for one in reported] == [[]] * PROCESSES
    assert sum(one["signals"] for one in reported) == 2
    assert count("SELECT count(*) FROM prediction_logs") == 8
    assert count("SELECT count(DISTINCT chain_index) FROM prediction_logs WHERE symbol = 'BTCUSDT'") == 4
    assert count("SELECT count(*) FROM signal_logs") == 2
    assert count("SELECT count(*) FROM outbox_messages WHERE sent_at IS NOT NULL AND attempts = 1") == 2
    assert count("SELECT sum(head) FROM symbol_sequences") == 2


@pytest.mark.slow
def test_twenty_at_once_on_sqlite(tmp_path):
    import sqlite3

    reported = crowd(environment(tmp_path))
    with sqlite3.connect(tmp_path / "mlengine.sqlite3") as database:
        check(reported, lambda query: database.execute(query).fetchone()[0])
    assert sum(one["sent"] for one in reported) == 2


@pytest.mark.long
@pytest.mark.postgres
def test_twenty_at_once_on_postgresql_and_redis(tmp_path, redis_url):
    url = os.environ["DATABASE_URL"]
    name = f"crowd_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    subscriber = redis.Redis.from_url(redis_url).pubsub(ignore_subscribe_messages=True)
    subscriber.psubscribe("signals:*")
    own = url.rsplit("/", 1)[0] + f"/{name}"
    env = environment(
        tmp_path, DATABASE_URL=own, REDIS_URL=redis_url, SECRET_KEY="s" * 50, API_KEY="k" * 40, API_KEY_PEPPER="p" * 40
    )
    try:
        reported = crowd(env)
        with psycopg.connect(own, options="-c search_path=ml,public") as database:
            check(reported, lambda query: database.execute(query).fetchone()[0])
        messages = [subscriber.get_message(timeout=1) for _ in range(6)]
        assert len([message for message in messages if message]) == 2
    finally:
        subscriber.close()
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
