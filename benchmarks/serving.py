"""Benchmark of serving against an earlier commit and against services of the same kind, in one interleaved run.

    uv run python -m benchmarks.serving --json [--before COMMIT] [--rounds 3] [--seconds 4] [--callers 16]
                                        [--only cached uncached signals candles indicators status]

Everything is private: a PostgreSQL and a Redis, one web process of this tree and one of the earlier commit (in a
worktree made for the run), each with key check, rate limit and log, on a database of its own with the same invented
candles, champions and reports. The peers are a plain FastAPI service with Redis, and MLServer, each in an environment
made for the run; MLServer only predicts from ready features. The market clock stands still, so that answers stay valid.

`cached`: one minute after a close, the answer is in the cache. `uncached`: five seconds after the next close, whose
forecast is not there yet, so no answer can be kept; each is read from the database, once for those who wait together.
The last line is one JSON object. `*_vs_*` are medians over the rounds of the ratio of requests per second. On a machine
with other work compare `cpu_us` too, the CPU time of the server for one request.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.load import Call, Load, run
from tests.chaos.engine import Postgres
from tests.flows import processes

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
SECRET = "serving-benchmark-secret-of-more-than-32-characters"  # noqa: S105  # of this run only
BEFORE = "3217dfb"
RATE_LIMIT = 100_000_000
CLOSES = 40
FASTAPI = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "redis==8.1.0")
MLSERVER = ("mlserver==1.7.1", "xgboost==3.2.0", "scikit-learn", "setuptools<81")
KEY = {"X-API-Key": SECRET}
PREDICTION = Call(
    "POST", "/predictions", '{"symbol": "BTCUSDT", "horizon": 6}', {**KEY, "Content-Type": "application/json"}
)
INFERENCE = Call(
    "POST",
    "/v2/models/boosters/infer",
    json.dumps({"inputs": [{"name": "x", "shape": [1, 60], "datatype": "FP32", "data": [0.5] * 60}]}),
    {"Content-Type": "application/json"},
)
READS = {
    "signals": Call("GET", "/signals?limit=20", headers=KEY),
    "candles": Call("GET", "/candles?symbol=BTCUSDT&limit=288", headers=KEY),
    "indicators": Call("GET", "/indicators?symbol=BTCUSDT&limit=100", headers=KEY),
    "status": Call("GET", "/models/status", headers=KEY),
}
PREPARATION = f"""
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
import tests.champions as made
from marketdata import clock
from signals import services
markets = made.make_markets()
getattr(made, "bootstrap_champions", None) and made.bootstrap_champions() or made.crown()
for close in range({CLOSES}):
    opened = made.BEGIN + (close - 1) * made.STEP
    if close:
        for market in markets:
            made.store_candles(market, opened, 1)
    with clock.use(made.at_close_of(opened)):
        services.advance(markets)
print("newest", opened)
"""
"""Run in each tree: candles, champions and some closes; the names are those of either commit."""
REPORT = {
    "skill": 0.02,
    "cells": [
        {"symbol": symbol, "horizon": horizon, "target": target, "skill": 2.5, "rows": 100_000, "coverage_80": 79.5,
         **{f"figure_{number}": number / 7 for number in range(60)}}
        for symbol in ("BTCUSDT", "ETHUSDT") for horizon in (6, 18, 36, 72) for target in ("high", "low")
    ],
}  # fmt: skip
"""A report as large as that of a training, since those of the invented champions are empty."""


Results = dict[str, dict[str, list["Result"]]]
"""By what is compared, then by who answered."""


class Engine:
    """One web process of a tree, on its own database."""

    def __init__(self, name: str, tree: Path, folder: Path, postgres: str, redis: str) -> None:
        self.port = processes.free_port()
        self.database = postgres.rsplit("/", 1)[0] + f"/{name}"
        with psycopg.connect(postgres, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        state = folder / name
        state.mkdir()
        environment = {
            "DATABASE_URL": self.database, "REDIS_URL": redis, "RATE_LIMIT": str(RATE_LIMIT), "API_KEY": SECRET,
            "SECRET_KEY": SECRET, "API_KEY_PEPPER": SECRET, "MODEL_MAX_AGE_DAYS": "100000",
            "MLENGINE_STATE_DIR": str(state), "MODEL_PATH": str(state / "models"), "MLENGINE_ENV_FILE": "",
            "BINANCE_API_URL": "http://127.0.0.1:1", "BINANCE_STREAM_URL": "ws://127.0.0.1:1",
            "DJANGO_SETTINGS_MODULE": "mlengine_project.settings", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree),
        }  # fmt: skip
        self.processes = processes.Processes(state, environment, tree)
        prepared = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PREPARATION], cwd=tree, env=self.processes.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if prepared.returncode:
            raise SystemExit(f"{name} was not prepared:\n{prepared.stderr[-3000:]}")
        self.newest_ms = int(prepared.stdout.rsplit("newest", 1)[1])
        with self.connection() as database:
            database.execute("UPDATE ml.model_versions SET report = %s", [json.dumps(REPORT)])
            database.execute("UPDATE ml.candles SET origin = 'stream'")  # of a file they would wait for confirmation

    def connection(self) -> psycopg.Connection:
        return psycopg.connect(self.database, autocommit=True)

    def start(self, tree: Path) -> None:
        words = image_command(tree)
        for option, value in {"--port": str(self.port), "--host": "127.0.0.1", "--workers": "1"}.items():
            words[words.index(option) + 1] = value
        self.processes.start("web", sys.executable, "-m", *words)
        processes.wait_until(lambda: processes.answers(self.port), 120, f"it answers\n{self.processes.logs()}")

    def set_market_time(self, seconds_after_close: float) -> None:
        """Stop the market clock some seconds after the close of the newest stored candle."""
        market_ms = self.newest_ms + 300_000 + round(seconds_after_close * 1000)
        with self.connection() as database:
            database.execute("DELETE FROM ml.exchange_state")
            database.execute(
                "INSERT INTO ml.exchange_state (id, clock_wall_ms, clock_market_ms, clock_rate, base_url,"
                " used_weight, weight_limit, reconnects)"
                " VALUES (1, extract(epoch FROM now()) * 1000, %s, 0.000001, 'http://127.0.0.1:1', 0, 6000, 0)",
                [market_ms],
            )


def image_command(tree: Path) -> list[str]:
    """The web command of a tree's Dockerfile."""
    text = (tree / "Dockerfile").read_text().replace("\\\n", " ")
    return list(json.loads(text[text.rindex("CMD [") + 4 :].strip()))


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    tree = folder / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def python_with(folder: Path, packages: tuple[str, ...]) -> str:
    """The interpreter of a new environment with some packages."""
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return python


@dataclass(frozen=True)
class Server:
    """A server under load."""

    port: int
    process: subprocess.Popen

    def cpu_seconds(self) -> float:
        """CPU time used so far, by its children too."""
        parent = psutil.Process(self.process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (parent, *parent.children(recursive=True)))


@dataclass(frozen=True)
class Result:
    """Load on a server, and the CPU time of the server for each request."""

    load: Load
    cpu_us: float


@contextmanager
def fastapi(folder: Path, redis: str) -> Iterator[Server]:
    python, port = python_with(folder / "fastapi", FASTAPI), processes.free_port()
    environment = {"REDIS_URL": redis, "API_KEY": SECRET, "API_KEY_PEPPER": SECRET, "RATE_LIMIT": str(RATE_LIMIT)}
    running = processes.Processes(folder / "fastapi", environment, PEERS)
    server = running.start("peer", python, "-m", "uvicorn", "fastapi_service:app", "--port", str(port))
    try:
        processes.wait_until(lambda: processes.answers(port), 60, f"FastAPI answers\n{running.logs()}")
        yield Server(port, server)
    finally:
        running.stop()


@contextmanager
def mlserver(folder: Path) -> Iterator[Server]:
    python, port = python_with(folder / "mlserver", MLSERVER), processes.free_port()
    models = folder / "mlserver" / "models"
    models.mkdir()
    ports = {"http_port": port, "grpc_port": processes.free_port(), "metrics_port": processes.free_port()}
    settings = {**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (models / "settings.json").write_text(json.dumps(settings))
    model = {"name": "boosters", "implementation": "mlserver_model.Boosters"}
    (models / "model-settings.json").write_text(json.dumps(model))
    running = processes.Processes(folder / "mlserver", {"PYTHONPATH": str(PEERS), "OMP_NUM_THREADS": "1"}, models)
    server = running.start("peer", str(Path(python).parent / "mlserver"), "start", str(models))
    ready = f"http://127.0.0.1:{port}/v2/models/boosters/ready"
    try:
        processes.wait_until(lambda: answers(ready), 120, f"MLServer answers\n{running.logs()}")
        yield Server(port, server)
    finally:
        running.stop()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:  # noqa: S310  # an address of this machine
            return answer.status == 200
    except OSError:
        return False


class MostConnections(threading.Thread):
    """Thread that keeps the largest number of the web process's connections."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self.engine, self.most, self.stopping = engine, 0, threading.Event()

    def run(self) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with self.engine.connection() as database:
            while not self.stopping.wait(0.2):
                self.most = max(self.most, database.execute(query).fetchone()[0])


def measure(options: argparse.Namespace) -> dict[str, object]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        before_tree = stack.enter_context(worktree(options.before, folder))
        postgres = Postgres(folder)
        with (postgres.folder / "postgresql.conf").open("a") as configuration:
            configuration.write("max_connections = 600\n")  # earlier commits leave connections behind
        server = postgres.start()
        stack.callback(server.wait)
        stack.callback(server.send_signal, signal.SIGINT)
        redis, redis_url = processes.start_redis(folder)
        stack.callback(redis.wait)
        stack.callback(redis.terminate)
        engines = {}
        for number, (name, tree) in enumerate((("now", ROOT), ("before", before_tree))):
            database = redis_url.rsplit("/", 1)[0] + f"/{number}"
            engines[name] = Engine(name, tree, folder, postgres.url, database)
            engines[name].set_market_time(60)
            stack.callback(engines[name].processes.stop)
            engines[name].start(tree)
        servers = {name: Server(engine.port, engine.processes.running["web"]) for name, engine in engines.items()}
        if "cached" in options.only:
            servers["fastapi"] = stack.enter_context(fastapi(folder, redis_url.rsplit("/", 1)[0] + "/2"))
        if "uncached" in options.only:
            servers["mlserver"] = stack.enter_context(mlserver(folder))
        connections = MostConnections(engines["now"])
        connections.start()
        results = run_rounds(options, engines["now"], servers)
        connections.stopping.set()
        connections.join()
    return {**summary(results), "connections_most": connections.most}


def cells_of(only: list[str]) -> dict[str, list[tuple[str, Call]]]:
    """What is compared with what: the first of each cell with the second."""
    cells = {
        "cached_vs_fastapi": [("now", PREDICTION), ("fastapi", PREDICTION)],
        "cached_vs_before": [("now", PREDICTION), ("before", PREDICTION)],
        "uncached_vs_mlserver": [("now", PREDICTION), ("mlserver", INFERENCE)],
        **{f"{name}_vs_before": [("now", call), ("before", call)] for name, call in READS.items()},
    }
    return {name: cell for name, cell in cells.items() if name.split("_")[0] in only}


def run_rounds(options: argparse.Namespace, now: Engine, servers: dict[str, Server]) -> Results:
    cells = cells_of(options.only)
    results: Results = {name: {who: [] for who, _ in cell} for name, cell in cells.items()}
    for turn in range(options.rounds):
        for name, cell in cells.items():
            now.set_market_time(305 if name.startswith("uncached") else 60)
            for who, call in cell if turn % 2 else cell[::-1]:
                server = servers[who]
                run(server.port, [call], options.callers, 2)  # warms up
                begun = server.cpu_seconds()
                load = run(server.port, [call], options.callers, options.seconds)
                cpu_us = 1e6 * (server.cpu_seconds() - begun) / (load.per_second * options.seconds)
                results[name][who].append(Result(load, round(cpu_us)))
                print(f"{name} {who}: {results[name][who][-1]}", file=sys.stderr)
    return results


def summary(results: Results) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, cell in results.items():
        ours, theirs = cell.values()
        ratios = [one.load.per_second / other.load.per_second for one, other in zip(ours, theirs, strict=True)]
        found[name] = round(statistics.median(ratios), 2)
        found[f"{name}_detail"] = {
            who: {
                "per_second": round(statistics.median(one.load.per_second for one in runs), 1),
                "p50_ms": round(statistics.median(one.load.p50_ms for one in runs), 2),
                "p99_ms": round(statistics.median(one.load.p99_ms for one in runs), 2),
                "cpu_us": statistics.median(one.cpu_us for one in runs),
                "failed": sum(one.load.failed for one in runs),
            }
            for who, runs in cell.items()
        }
    return found


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that started processes are stopped
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--before", default=BEFORE, help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--only", nargs="+", default=["cached", "uncached", *READS], help="cells to run")
    options = parser.parse_args()
    os.environ.pop("DATABASE_URL", None)
    print(json.dumps(measure(options)))


if __name__ == "__main__":
    main()
