"""Chaos test of promotions: promotes and rolls back under load while web workers and Redis are killed.

    uv run python -m tests.chaos.promotions --promotions 20 --kills 20 --json [--callers 8]

Everything is private: a PostgreSQL, a Redis, two web workers by the command of the Dockerfile, and a process that stores
candles at their closes. Callers ask for predictions all the time. No answer may mix the versions of two ensembles, and
answers to requests sent two seconds after a promotion must be by the new ensemble. Without kills every status must be
200. The last line is one JSON object; the exit status is 1 if anything is wrong.
"""

import argparse
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import dict_row

from tests.chaos.engine import Postgres
from tests.flows import processes

KEY = "promotions-test-key-of-more-than-32-characters"
WORKERS = 2
SECONDS_TO_CHANGE = 2.0
QUESTIONS = tuple({"symbol": symbol, "horizon": h} for symbol in ("BTCUSDT", "ETHUSDT") for h in (6, 18, 36, 72))
ACCEPTED_WITH_KILLS = {0, 200, 503}
FEED = "from benchmarks.connections import feed; feed()"
CANDIDATE = """
import django; django.setup()
from tests.modelregistry import champions
print("candidate", champions.candidate(seed=7, source="simulated").pk)
"""


@dataclass(frozen=True)
class Answer:
    """One answer: when its request was sent, its status, and the versions that gave it."""

    sent_at: float
    status: int
    prediction_id: str = ""
    versions: tuple[str, ...] = ()


class Caller(threading.Thread):
    """A caller that asks for predictions in turn, each on a connection of its own, until stopped."""

    def __init__(self, port: int, key: str, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.key, self.stopping = port, key, stopping
        self.answers: list[Answer] = []

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            self.answers.append(self.ask(QUESTIONS[number % len(QUESTIONS)]))
            number += 1
            self.stopping.wait(0.01)

    def ask(self, question: dict[str, object]) -> Answer:
        sent_at = time.time()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
            connection.request("POST", "/predictions", json.dumps(question), headers)
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return Answer(sent_at, 0)
        finally:
            connection.close()
        if response.status != 200:
            return Answer(sent_at, response.status)
        return Answer(sent_at, 200, content["id"], tuple(sorted(content["model_versions"].values())))


def judge(answers: list[Answer], changes: list[tuple[float, tuple[str, ...]]]) -> dict[str, object]:
    """Compare answers with the ensembles; a change is the time of its commit and the versions from then on."""
    known = {versions for _, versions in changes}
    given = [answer for answer in answers if answer.status == 200]
    by_id: dict[str, set[tuple[str, ...]]] = {}
    for answer in given:
        by_id.setdefault(answer.prediction_id, set()).add(answer.versions)
    delays, late = [0.0], 0
    for (at, versions), (until, _) in zip(changes, [*changes[1:], (float("inf"), ())], strict=True):
        others = [a.sent_at - at for a in given if at <= a.sent_at < until and a.versions in known - {versions}]
        delays.append(max(others, default=0.0))
        late += sum(delay > SECONDS_TO_CHANGE for delay in others)
    return {
        "answers": len(answers),
        "statuses": {str(status): count for status, count in sorted(Counter(a.status for a in answers).items())},
        "mixed_answers": sum(answer.versions not in known for answer in given)
        + sum(len(versions) > 1 for versions in by_id.values()),
        "answers_by_the_old_after_2_s": late,
        "longest_seconds_to_change": round(max(delays), 2),
        "seconds_to_change": [round(delay, 2) for delay in delays[1:]],
        "ensembles_seen": len({answer.versions for answer in given}),
    }


def changes_of(database_url: str) -> list[tuple[float, tuple[str, ...]]]:
    """Every time the champions changed, and who they were from then on."""
    champions: dict[str, str] = {}
    changes = []
    with psycopg.connect(database_url, row_factory=dict_row) as database:
        query = "SELECT kind, to_version_id, extract(epoch FROM at)::float8 AS at FROM ml.promotion_events ORDER BY id"
        for row in database.execute(query):
            champions[row["kind"]] = str(row["to_version_id"])
            changes.append((row["at"], tuple(sorted(champions.values()))))
    return changes


def web_workers(server: subprocess.Popen) -> list[psutil.Process]:
    """Running workers of the web server."""
    found = []
    for child in psutil.Process(server.pid).children():
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def manage(engine: processes.Processes, *words: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *words], cwd=engine.project, env=engine.environment, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    postgres = Postgres(folder)
    server = postgres.start()
    redis = processes.PrivateRedis(folder, "--appendonly", "yes", "--maxmemory-policy", "noeviction")
    redis.start()
    port, stopping = processes.free_port(), threading.Event()
    nowhere = type("Nowhere", (), {"base_url": "http://127.0.0.1:1", "stream_url": "ws://127.0.0.1:1"})
    environment = {
        "DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "RATE_LIMIT": "0", "API_KEY": KEY, "SECRET_KEY": KEY,
        "API_KEY_PEPPER": KEY, "MODEL_MAX_AGE_DAYS": "100000", "MLENGINE_STATE_DIR": str(folder),
        "MODEL_PATH": str(folder / "models"), "MLENGINE_ENV_FILE": "", "OMP_NUM_THREADS": "1",
        "BINANCE_API_URL": nowhere.base_url, "BINANCE_STREAM_URL": nowhere.stream_url,
        "DJANGO_SETTINGS_MODULE": "mlengine_project.settings",
    }  # fmt: skip
    engine = processes.Processes(folder, environment)
    try:
        engine.start("feed", sys.executable, "-W", "ignore", "-c", FEED)
        ready = lambda: "ready" in (folder / "feed.log").read_text()  # noqa: E731
        processes.wait_until(ready, 240, f"candles and champions\n{engine.logs()}")
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CANDIDATE], cwd=engine.project, env=engine.environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        candidate = found.stdout.split()[-1]
        words = processes.image_command()
        for option, value in {"--port": str(port), "--host": "127.0.0.1", "--workers": str(WORKERS)}.items():
            words[words.index(option) + 1] = value
        web = engine.start("web", sys.executable, "-m", *words)
        processes.wait_until(lambda: processes.answers(port), 240, f"the web server answers\n{engine.logs()}")
        callers = [Caller(port, KEY, stopping) for _ in range(options.callers)]
        for caller in callers:
            caller.start()
        killed = change_and_kill(options, engine, web, redis, candidate, port)
        time.sleep(SECONDS_TO_CHANGE + 1)
        stopping.set()
        for caller in callers:
            caller.join()
        answers = [answer for caller in callers for answer in caller.answers]
        return {**judge(answers, changes_of(postgres.url)), "killed": dict(killed)}
    finally:
        stopping.set()
        engine.stop()
        redis.kill()
        server.send_signal(signal.SIGINT)
        server.wait()


def change_and_kill(options, engine, web, redis, candidate, port) -> Counter[str]:
    killed: Counter[str] = Counter()
    for number in range(max(options.promotions, options.kills)):
        if number < options.promotions:
            if number % 2:
                manage(engine, "rollback_model", "range_predictor", "--reason", "a test", "--source", "simulated")
            else:
                manage(engine, "promote_model", candidate, "--reason", "a test", "--override")
        if number < options.kills:
            part = ("web", "redis")[number % 2]
            killed[part] += 1
            if part == "redis":
                redis.kill()
                time.sleep(1.0)
                redis.start()
            else:
                web_workers(web)[-1].kill()
                back = lambda: len(web_workers(web)) == WORKERS and processes.answers(port)  # noqa: E731
                processes.wait_until(back, 120, f"two workers again\n{engine.logs()}")
        print(f"round {number + 1}", file=sys.stderr)
        time.sleep(SECONDS_TO_CHANGE + 0.5)
    return killed


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that started processes are stopped
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = run(options, Path(folder))
    print(json.dumps(result))
    accepted = ACCEPTED_WITH_KILLS if options.kills else {200}
    is_right = not result["mixed_answers"] and not result["answers_by_the_old_after_2_s"]
    return 0 if is_right and {int(status) for status in result["statuses"]} <= accepted else 1


if __name__ == "__main__":
    sys.exit(main())
