"""Engine processes for tests, started on free ports and stopped by their ids."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"not within {seconds} s: {what}")


class Processes:
    """Processes of a test; `stop` ends all of them."""

    def __init__(self, folder, environment, project=ROOT):
        self.folder, self.environment, self.project = folder, {**os.environ, **environment}, project
        self.running = {}

    def start(self, name, *words):
        log = (self.folder / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(
            words, cwd=self.project, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        log.close()
        return self.running[name]

    def kill(self, name):
        """Kill a process and its children."""
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for name in list(self.running):
            process = self.running.pop(name)
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))


class PrivateRedis:
    """A private Redis, with the same port for every start."""

    def __init__(self, folder, *options, port=None):
        self.program = shutil.which("redis-server")
        if self.program is None:
            if os.environ.get("CI") == "true":
                pytest.fail("CI requires redis-server")
            pytest.skip("redis-server is not installed")
        self.port, self.folder, self.options, self.process = port or free_port(), folder, options, None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        """Start the server and wait until it answers."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen([self.program, *words, *self.options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, 10, "Redis answers")
        return self.process

    def answers(self):
        try:
            return redis.Redis.from_url(self.url, socket_timeout=1).ping()
        except redis.RedisError:
            return False

    def kill(self):
        """Kill the server; does nothing if it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def start_redis(folder, port=None):
    """Start a private Redis, since channels are shared by all databases of a server."""
    private = PrivateRedis(folder, "--appendonly", "no", port=port)
    return private.start(), private.url


def database_url():
    """URL of the test's database, for its processes."""
    made = connection.settings_dict
    user, host, port = made["USER"], made["HOST"] or "127.0.0.1", made["PORT"] or 5432
    password = f":{made['PASSWORD']}" if made["PASSWORD"] else ""
    return f"postgres://{user}{password}@{host}:{port}/{made['NAME']}"


def engine_environment(folder, exchange, redis_url):
    return {
        "DATABASE_URL": database_url(),
        "REDIS_URL": redis_url,
        "BINANCE_API_URL": exchange.base_url,
        "BINANCE_STREAM_URL": exchange.stream_url,
        "MODEL_PATH": str(settings.MODEL_PATH),
        "MLENGINE_STATE_DIR": str(folder),
        "MLENGINE_ENV_FILE": "",
        "SECRET_KEY": "a-secret-key-for-a-test-of-processes-only-0123456789",
        "API_KEY": "test-" + "k" * 40,
        "MODEL_MAX_AGE_DAYS": "100000",
        "PYTHONUNBUFFERED": "1",
    }


def worker_words():
    return [sys.executable, "-m", "celery", "-A", "mlengine_project", "worker", "-Q", "live,default", "-c", "1"]


def stream_words():
    return [sys.executable, "manage.py", "stream_candles"]


def web_words(port, workers=1):
    """The Dockerfile's web command on a loopback port, with another number of workers."""
    arguments = image_command()
    for option, value in (("--host", "127.0.0.1"), ("--port", str(port)), ("--workers", str(workers))):
        arguments[arguments.index(option) + 1] = value
    return [sys.executable, "-m", *arguments]


def image_command():
    """The arguments of the Dockerfile's web command."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return json.loads(re.findall(r"^CMD (\[.*\])", text, re.MULTILINE)[-1])


def image_environment():
    """The variables of the Dockerfile that limit threads and memory."""
    text = (ROOT / "Dockerfile").read_text()
    return dict(re.findall(r"\b(OMP_NUM_THREADS|MALLOC_ARENA_MAX)=(\d+)", text))


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
