"""The running engine: start-up, first prediction, memory, idle CPU, candle close to websocket message.

    uv run python -m benchmarks.live --json [--candles 20] [--speed 30]

Starts `manage.py up` on an empty state folder and a free port, with the simulator, and watches it
from outside. The last line is one JSON object; times are wall seconds, memory is MiB.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import websockets

ROOT = Path(__file__).resolve().parent.parent
INTERVAL_MS = 300_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Memory(threading.Thread):
    """Samples the resident memory of the serving process and of the whole tree."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.serving_mib = self.tree_mib = 0.0

    def run(self) -> None:
        while True:
            try:
                own = self.process.memory_info().rss
                children = sum(child.memory_info().rss for child in self.process.children(recursive=True))
            except psutil.Error:
                return
            self.serving_mib = max(self.serving_mib, own / 2**20)
            self.tree_mib = max(self.tree_mib, (own + children) / 2**20)
            time.sleep(0.2)


def request(url: str, key: str = "", body: dict | None = None) -> int:
    content = json.dumps(body).encode() if body is not None else None
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, headers), timeout=10) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(condition, seconds: float, since: float) -> float:
    while time.monotonic() - since < seconds:
        if condition():
            return time.monotonic() - since
        time.sleep(0.1)
    raise SystemExit(f"not reached within {seconds} s")


def close_on_the_wall(state: Path, candle_time: str) -> float:
    """Wall time, in seconds, at which a candle closed, by the shared reading of the exchange's clock."""
    from datetime import datetime

    with sqlite3.connect(state / "mlengine.sqlite3", timeout=5) as database:
        row = database.execute("SELECT clock_wall_ms, clock_market_ms, clock_rate FROM exchange_state").fetchone()
    close_ms = datetime.fromisoformat(candle_time).timestamp() * 1000 + INTERVAL_MS
    return (row[0] + (close_ms - row[1]) / row[2]) / 1000


async def listen(port: int, key: str, state: Path, candles: int) -> list[float]:
    """Wall seconds from close to message, one per signal of two markets."""
    found = []
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/ws/signals", additional_headers={"X-API-Key": key}
    ) as connection:
        await connection.send(json.dumps({"type": "subscribe", "symbols": ["BTCUSDT", "ETHUSDT"]}))
        while len(found) < 2 * candles:
            message = json.loads(await asyncio.wait_for(connection.recv(), 120))
            if message["type"] == "signal":
                found.append(time.time() - close_on_the_wall(state, message["signal"]["candle_time"]))
    return found


def measure(candles: int, speed: float, train: bool) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        state, port = Path(folder), free_port()
        environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        environment |= {
            "MLENGINE_STATE_DIR": folder,
            "MODEL_PATH": str(state / "models"),
            "PYTHONUNBUFFERED": "1",
            "RATE_LIMIT": "0",
            "MLENGINE_ENV_FILE": "",
        }
        words = [sys.executable, "manage.py", "up", "--port", str(port), "--feed", "simulator", "--speed", str(speed)]
        since = time.monotonic()
        log = (state / "up.log").open("w")
        process = subprocess.Popen(
            words + ([] if train else ["--no-train"]), cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        memory = Memory(process.pid)
        memory.start()
        base = f"http://127.0.0.1:{port}"
        try:
            health = wait_for(lambda: request(f"{base}/health") == 200, 60, since)
            key = re.search(r"API key\s+(\S+)", (state / "up.log").read_text())[1]
            ask = {"symbol": "BTCUSDT", "horizon": 6}
            first = wait_for(lambda: request(f"{base}/predictions", key, ask) == 200, 600, since)
            latencies = asyncio.run(listen(port, key, state, candles))
            serving = psutil.Process(process.pid)
            serving.cpu_percent()
            time.sleep(10)
            busy = serving.cpu_percent()
        finally:
            process.send_signal(signal.SIGINT)
            stopping = time.monotonic()
            process.wait(timeout=60)
            log.close()
        return {
            "seconds_to_health": round(health, 2),
            "seconds_to_first_prediction": round(first, 1),
            "seconds_to_stop": round(time.monotonic() - stopping, 2),
            "peak_serving_mib": round(memory.serving_mib),
            "peak_tree_mib": round(memory.tree_mib),
            "cpu_percent_of_a_core": busy,
            "speed": speed,
            "close_to_message_seconds": {
                "n": len(latencies),
                "median": round(statistics.median(latencies), 4),
                "p95": round(sorted(latencies)[int(0.95 * len(latencies))], 4),
                "max": round(max(latencies), 4),
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--candles", type=int, default=20)
    parser.add_argument("--speed", type=float, default=30.0)
    options = parser.parse_args()
    print(json.dumps(measure(options.candles, options.speed, train=True)))


if __name__ == "__main__":
    main()
