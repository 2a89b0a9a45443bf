"""Two engines with default settings on one Redis: neither receives messages of the other."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
import redis
import websockets

from tests.flows import processes

pytestmark = pytest.mark.slow
PUBLISH_SIGNAL = "from tests.signals.sockets import write_signals; write_signals('BTCUSDT')"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """An SQLite database with markets, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    for words in (["migrate", "--no-input", "-v0"], ["seed_markets"]):
        subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=processes.ROOT,
            check=True,
            env=environment(folder, "redis://127.0.0.1:1/0"),
        )
    return folder / "mlengine.sqlite3"


@pytest.fixture
def engines(tmp_path, migrated):
    """A function that creates an engine on a database of one Redis, and that Redis."""
    server, url = processes.start_redis(tmp_path)
    started = []

    def make(name, number=0, **more):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(migrated, folder)
        engine = processes.Processes(folder, environment(folder, url.replace("/0", f"/{number}"), **more))
        engine.port = processes.free_port()
        started.append(engine)
        return engine

    make.client = redis.Redis.from_url(url)
    yield make
    for engine in started:
        engine.stop()
    make.client.close()
    server.terminate()
    server.wait()


def environment(folder, redis_url, **more):
    return {
        "DATABASE_URL": "", "REDIS_URL": redis_url, "MLENGINE_STATE_DIR": str(folder), "MLENGINE_ENV_FILE": "",
        "MODEL_PATH": str(folder / "models"), "BINANCE_API_URL": "http://127.0.0.1:1", "SECRET_KEY": "s" * 50,
        "API_KEY": "k" * 40, "API_KEY_PEPPER": "p" * 40, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", **more,
    }  # fmt: skip


def publish_signal(engine):
    """Write a signal to an engine's log and publish it; returns its id."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "shell", "-c", PUBLISH_SIGNAL],
        cwd=processes.ROOT, env=engine.environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with sqlite3.connect(engine.folder / "mlengine.sqlite3") as database:
        payload = database.execute("SELECT payload FROM outbox_messages ORDER BY seq DESC LIMIT 1").fetchone()[0]
    return json.loads(payload)["id"]


async def subscribed(engine):
    connection = await websockets.connect(
        f"ws://127.0.0.1:{engine.port}/ws/signals", additional_headers={"X-API-Key": engine.environment["API_KEY"]}
    )
    await connection.send(json.dumps({"type": "subscribe", "symbols": ["BTCUSDT"]}))
    frames = [json.loads(await asyncio.wait_for(connection.recv(), 20)) for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["authenticated", "subscribed", "snapshot"]
    return connection


async def next_signal(connection, seconds):
    """The next signal within some seconds, else None; heartbeats never announce unpublished signals."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                frame = json.loads(await connection.recv())
                if frame["type"] == "signal":
                    return frame
    except TimeoutError:
        return None


def test_signals_do_not_reach_sockets_of_another_engine(engines):
    first, second = engines("first", 0), engines("second", 1)
    for engine in (first, second):
        engine.start("web", *processes.web_words(engine.port))
    for engine in (first, second):
        processes.wait_until(lambda: processes.answers(engine.port), 120, engine.logs())  # noqa: B023

    async def exchange_signals():
        ours, theirs = await subscribed(first), await subscribed(second)
        output = await asyncio.to_thread(publish_signal, first)
        frame = await next_signal(ours, 10)
        assert (frame["seq"], frame["signal"]["id"]) == (1, output)
        assert await next_signal(theirs, 7) is None, "longer than the hub's interval for comparing heads"
        forged = frame["signal"] | {"seq": 2, "id": "00000000-0000-4000-8000-000000000000"}
        for number in (0, 1):
            engines.client.execute_command("SELECT", number)
            engines.client.publish("signals:BTCUSDT", json.dumps(forged))
        own = await asyncio.to_thread(publish_signal, second)
        frame = await next_signal(theirs, 10)
        assert (frame["seq"], frame["signal"]["id"]) == (1, own)
        output = await asyncio.to_thread(publish_signal, first)
        frame = await next_signal(ours, 10)
        assert (frame["seq"], frame["signal"]["id"]) == (2, output)
        await ours.close()
        await theirs.close()

    asyncio.run(exchange_signals())


@pytest.mark.long
def test_workers_run_tasks_of_their_own_engine_only(engines):
    members = {
        "first": engines("first", 0),
        "second": engines("second", 1),
        "third": engines("third", 0, DEPLOYMENT="another"),
    }
    celery = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "mlengine_project"]
    for name, engine in members.items():
        engine.start(
            "worker", *celery, "worker", "-P", "solo", "-Q", "live,default", "-n", f"{name}@here", "-l", "INFO"
        )
    for engine in members.values():
        processes.wait_until(lambda: "@here ready" in engine.logs(), 120, "a worker is ready")  # noqa: B023
    for name, engine in members.items():
        found = subprocess.run(
            [*celery, "inspect", "ping", "-t", "3", "--json"],
            cwd=processes.ROOT, env=engine.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert list(json.loads(found.stdout)) == [f"{name}@here"], found.stdout + found.stderr
    for number, prefixes in ((0, (b"mlengine:0:", b"another:0:")), (1, (b"mlengine:1:",))):
        engines.client.execute_command("SELECT", number)
        keys = engines.client.keys("*")
        assert keys
        assert [key for key in keys if not key.startswith(prefixes)] == []
