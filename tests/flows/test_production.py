"""Production by its documented steps: the real commands, from an empty database to a signal on a websocket."""

import asyncio
import json
import re
import secrets
import shlex
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from http.cookiejar import CookieJar
from pathlib import Path

import psycopg
import pytest
import websockets

from tests.chaos.engine import Postgres
from tests.flows import processes
from tests.flows.containers import HOME, Containers

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]
SPEED = 60
SYMBOLS = ("BTCUSDT", "ETHUSDT")
FILLED_IN = ("SECRET_KEY", "API_KEY_PEPPER", "POSTGRES_PASSWORD")
PASSWORD = "a long password for one test"
TIMEOUT_SECONDS = 300


def documented_steps():
    """The installation commands of docs/production.md, without comments."""
    text = (processes.ROOT / "docs" / "production.md").read_text()
    block = re.search(r"## Installation.*?```\n(.*?)```", text, re.DOTALL).group(1)
    return [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]


@pytest.fixture
def folder():
    """A folder accessible to the user `postgres`."""
    path = Path(tempfile.mkdtemp(prefix="production-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def production(folder):
    """The services before their start, with private PostgreSQL, Redis and exchange instead of containers."""
    with ExitStack() as stack:
        postgres = Postgres(folder)
        stack.callback(_end, postgres.start())
        redis, redis_url = processes.start_redis(folder)
        stack.callback(_end, redis)
        market = processes.Processes(folder, {"MLENGINE_ENV_FILE": "", "MLENGINE_STATE_DIR": str(folder)})
        stack.callback(market.stop)
        exchange, web = processes.free_port(), processes.free_port()
        words = ["manage.py", "simulate_exchange", "--port", str(exchange), "--speed", str(SPEED), "--seed", "3"]
        market.start("exchange", sys.executable, *words)
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE ROLE mlengine LOGIN SUPERUSER")
            connection.execute("CREATE DATABASE mlengine OWNER mlengine")
        (folder / "models").mkdir()
        containers = Containers(folder, filled_in_example(exchange), {
            "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
            "redis://redis:6379/0": redis_url,
            "/models": str(folder / "models"),
            "/archive": str(folder / "archive"),
            "/tmp/beat": str(folder / "beat-schedule"),
            "0.0.0.0": "127.0.0.1",
            "8000": str(web),
            HOME: str(processes.ROOT),
        })  # fmt: skip
        containers.port = web
        stack.callback(containers.stop)
        yield containers


def filled_in_example(exchange_port):
    """`.env.example` with values filled in."""
    written = {name: secrets.token_urlsafe(48) for name in FILLED_IN} | {
        "BINANCE_API_URL": f"http://127.0.0.1:{exchange_port}",
        "BINANCE_STREAM_URL": f"ws://127.0.0.1:{exchange_port}",
    }
    lines = (processes.ROOT / ".env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert set(written) <= set(names)
    return "\n".join(
        f"{name}={written[name]}" if name in written else line for name, line in zip(names, lines, strict=True)
    )


def _end(process):
    process.terminate()
    process.wait()


class Caller:
    """A client of the web service that keeps its cookies."""

    def __init__(self, port, key=""):
        self.address, self.key = f"http://127.0.0.1:{port}", key
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def __call__(self, path, body=None, form=None):
        headers = {"X-API-Key": self.key} if self.key else {}
        content = None
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if form is not None:
            content, headers["Referer"] = urllib.parse.urlencode(form).encode(), self.address + path
        request = urllib.request.Request(self.address + path, content, headers)
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


async def first_signal_of_models(port, key):
    """The first signal on the websocket based on models."""
    address = f"ws://127.0.0.1:{port}/ws/signals"
    async with websockets.connect(address, additional_headers={"X-API-Key": key}) as connection:
        await connection.send(json.dumps({"type": "subscribe", "symbols": list(SYMBOLS)}))
        while True:
            message = json.loads(await connection.recv())
            if message["type"] == "signal" and message["signal"]["model_versions"]:
                return message["signal"]


def test_documented_steps_lead_to_predictions_and_signals(production):
    begun = time.monotonic()
    copied, started, made_key, made_user = documented_steps()
    assert copied == ["cp", ".env.example", ".env"]
    assert started == ["docker", "compose", "up", "-d"]
    production.up()
    anonymous = Caller(production.port)
    processes.wait_until(lambda: anonymous("/health")[0] == 200, 60, f"the web service answers\n{production.log()}")
    ready = anonymous("/health/ready")
    assert (ready[0], json.loads(ready[1])["causes"]) == (503, ["NO_CHAMPION"])

    assert made_key[:4] == made_user[:4] == ["docker", "compose", "exec", "web"]
    key = production.execute("web", made_key[4:]).stdout.strip()
    caller = Caller(production.port, key)
    refused = caller("/predictions", {"symbol": "BTCUSDT", "horizon": 6})
    assert (refused[0], json.loads(refused[1])["reasons"]) == (503, ["NO_CHAMPION"])
    done = production.execute(
        "web", [*made_user[4:], "--no-input"], DJANGO_SUPERUSER_USERNAME="ada", DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        DJANGO_SUPERUSER_EMAIL="ada@example.com",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    processes.wait_until(
        lambda: anonymous("/health/ready")[0] == 200 or production.ended(),
        TIMEOUT_SECONDS,
        f"predictions are answered\n{production.log()}",
    )
    assert production.ended() == [], production.log()
    print(f"ready after {time.monotonic() - begun:.0f} s")
    # Each web worker loads the champions itself, within seconds.
    question = {"symbol": "BTCUSDT", "horizon": 6}
    processes.wait_until(lambda: caller("/predictions", question)[0] == 200, 30, "every worker answers")
    status, body = caller("/predictions", question)
    assert status == 200, body
    assert json.loads(body)["simulated"] is True

    def newest_jobs():
        """The newest job of each kind."""
        return {job["kind"]: job for job in reversed(json.loads(caller("/jobs")[1])["results"])}

    # Champions answer as soon as they are promoted, a moment before their training's job has ended.
    processes.wait_until(lambda: newest_jobs()["training"]["state"] != "running", 60, "the training's job ends")
    jobs = newest_jobs()
    assert jobs["bootstrap"]["state"] == jobs["training"]["state"] == "succeeded", jobs
    assert jobs["bootstrap"]["result"]["training"] == jobs["training"]["id"]
    assert {version["stage"] for version in jobs["training"]["result"]["versions"]} == {"champion"}
    assert {market["symbol"] for market in jobs["bootstrap"]["result"]["markets"]} == set(SYMBOLS)

    signal = asyncio.run(asyncio.wait_for(first_signal_of_models(production.port, key), 60))
    assert signal["symbol"] in SYMBOLS

    browser = Caller(production.port)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser("/")[1]).group(1)
    form = {"csrfmiddlewaretoken": token, "username": "ada", "password": PASSWORD}
    status, page = browser("/console/sign-in", form=form)
    assert status == 200
    assert "sign-out" in page
    assert all(symbol in page for symbol in SYMBOLS)

    # A start with models in place requests nothing.
    requested = len(json.loads(caller("/jobs")[1])["results"])
    again = production.execute("migrate", production.words("migrate"))
    assert again.returncode == 0, again.stderr
    assert "every kind of model has a champion" in again.stdout
    assert len(json.loads(caller("/jobs")[1])["results"]) == requested
    for name in ("stream", "beat"):
        processes.wait_until(
            lambda name=name: production.is_healthy(name), 90, f"{name} is healthy\n{production.log()}"
        )
    assert "Read-only file system" not in production.log()
    print(f"all of it after {time.monotonic() - begun:.0f} s")
