"""A private installation of PostgreSQL, Redis, web, beat, worker and stream, controlled by name."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
import psycopg

from tests.flows import processes

WEB_WORKERS = 2


class Postgres:
    """A PostgreSQL server on a free port.

    It refuses to run as root, so root starts it as user `postgres`.
    """

    def __init__(self, folder: Path) -> None:
        found = shutil.which("postgres") or max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
        if not found:
            raise SystemExit("PostgreSQL is not installed")
        self.programs, self.folder, self.port = Path(found).parent, folder / "postgres", processes.free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self._as = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        self.folder.mkdir(mode=0o700)
        if self._as:
            folder.chmod(0o755)
            shutil.chown(self.folder, **self._as)
        words = ["-D", self.folder, "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run([self.programs / "initdb", *words], check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as)

    def start(self) -> subprocess.Popen:
        """Start, retrying while children of the killed server still hold its shared memory."""
        words = ["-D", self.folder, "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1"]
        for _ in range(100):
            process = subprocess.Popen(
                [self.programs / "postgres", *words],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._as,
            )  # fmt: skip
            while process.poll() is None:
                try:
                    psycopg.connect(self.url, connect_timeout=2).close()
                except psycopg.OperationalError:
                    time.sleep(0.1)
                else:
                    return process
            time.sleep(0.2)
        raise SystemExit("PostgreSQL does not start")


class Engine:
    """All processes and services; `ended` counts processes that stopped without being killed."""

    def __init__(self, folder: Path, exchange, *, web: bool = False) -> None:
        self.folder, self.postgres = folder, Postgres(folder)
        self.ended: Counter[str] = Counter()
        self._server = self.postgres.start()
        # As in docker-compose.yml: data survives a kill.
        self.redis = processes.PrivateRedis(folder, "--appendonly", "yes", "--maxmemory-policy", "noeviction")
        self.redis.start()
        self.port = processes.free_port()
        state = folder / "state"
        state.mkdir()
        self.environment = {
            **processes.image_environment(),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "BINANCE_API_URL": exchange.base_url,
            "BINANCE_STREAM_URL": exchange.stream_url,
            "SUPPORTED_SYMBOLS": ",".join(exchange.symbols),
            "MODEL_PATH": str(state / "models"),
            "MLENGINE_STATE_DIR": str(state),
            "MLENGINE_ENV_FILE": "",
            "SECRET_KEY": "a-secret-key-for-a-test-of-kills-only-0123456789012",
            "API_KEY": "test-" + "k" * 40,
            "PYTHONUNBUFFERED": "1",
            "RATE_LIMIT": "0",
        }
        self._running = processes.Processes(folder, self.environment)
        self.commands = {
            "stream": processes.stream_words(),
            "worker": processes.worker_words(),
            "beat": [sys.executable, "-m", "celery", "-A", "mlengine_project", "beat", "-s", str(state / "beat")],
        }
        if web:
            self.commands["web"] = processes.web_words(self.port, WEB_WORKERS)
        for command in (["migrate", "--no-input", "-v0"], ["install_schedule"], ["seed_markets"]):
            words = [sys.executable, "manage.py", *command]
            subprocess.run(
                words, cwd=processes.ROOT, env=self._running.environment, check=True, stdout=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        for name in self.commands:
            self.start(name)
        return self

    def __exit__(self, *_) -> None:
        self._running.stop()
        self._kill_server()
        self.redis.kill()

    def start(self, name: str) -> None:
        """Restart a killed part; a web worker is restarted by its server."""
        if name == "postgres":
            self._server = self.postgres.start()
        elif name == "redis":
            self.redis.start()
        elif name != "web" or name not in self._running.running:
            self._running.start(name, *self.commands[name])

    def kill(self, name: str) -> None:
        """Kill a part with SIGKILL; of the web processes, one worker."""
        if name == "postgres":
            self._kill_server()
        elif name == "redis":
            self.redis.kill()
        elif name == "web":
            self._web_workers()[-1].kill()
        else:
            self._running.kill(name)

    def _web_workers(self) -> list[psutil.Process]:
        """Running workers of the web server, without its resource tracker."""
        server = psutil.Process(self._running.running["web"].pid)
        found = []
        for child in server.children():
            with suppress(psutil.Error):
                found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
        return found

    def is_back(self, name: str, since: float) -> bool:
        """Whether a killed part works again, shown by its heartbeats or responses since then."""
        if name == "redis":
            return self.redis.answers() and self._detailed("cache")
        if name == "postgres":
            return self._detailed("database")
        part = {"beat": "scheduler"}.get(name, name)
        query = "SELECT count(*) FROM ml.heartbeats WHERE part = %s AND at > to_timestamp(%s)"
        try:
            with psycopg.connect(self.postgres.url, connect_timeout=2) as connection:
                wrote = bool(connection.execute(query, [part, since]).fetchone()[0])
        except psycopg.OperationalError:
            return False
        if name == "web":
            return wrote and len(self._web_workers()) == WEB_WORKERS and processes.answers(self.port)
        return wrote

    def _detailed(self, part: str) -> bool:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/health/detailed", headers={"X-API-Key": self.environment["API_KEY"]}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)[part]["status"] == "healthy"
        except (OSError, ValueError):
            return False

    def watch(self, seconds: float, leave: str = "") -> None:
        """Wait, restarting parts that ended by themselves, except `leave`."""
        until = time.monotonic() + seconds
        while True:
            for name, process in list(self._running.running.items()):
                if name != leave and process.poll() is not None:
                    self.ended[name] += 1
                    log = (self.folder / f"{name}.log").read_text().rstrip().rsplit("\n", 1)[-1]
                    print(f"{name} ended by itself: {log[-300:]}", file=sys.stderr)
                    self.start(name)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.25))

    def roots(self) -> dict[str, int]:
        """Process ids of all parts by name."""
        running = {name: process.pid for name, process in self._running.running.items()}
        return {**running, "postgres": self._server.pid, "redis": self.redis.process.pid}

    def wait_for_first_candle(self, seconds: float = 180) -> None:
        """Wait until every market has a signal."""
        query = "SELECT count(DISTINCT symbol) FROM ml.signal_logs"
        wanted = self.environment["SUPPORTED_SYMBOLS"].count(",") + 1

        def flows() -> bool:
            with psycopg.connect(self.postgres.url) as connection:
                return connection.execute(query).fetchone()[0] == wanted

        processes.wait_until(flows, seconds, f"signals flow\n{self.logs()}")

    def logs(self) -> str:
        return self._running.logs()

    def _kill_server(self) -> None:
        """Kill the server and its children, which are not one process group."""
        server = psutil.Process(self._server.pid)
        for process in [server, *server.children(recursive=True)]:
            process.kill()
        self._server.wait()
