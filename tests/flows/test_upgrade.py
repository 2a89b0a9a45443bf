"""Upgrade of an installation of version 0.1 to the current version, and downgrade."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.databases import manage, new_database, tables
from tests.flows.processes import ROOT, Processes, answers, free_port

OLDER = "3217dfb"
"""The commit of the older version."""
INSTALLATION = Path(__file__).with_name("older_installation.py")
UPGRADED = """
import json
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask
from marketdata.models import Candle
from mlengine_project.celery import app
from signals.models import SignalLog
made, steps = {made!r}, {steps!r}
call_command("verify_track_record")
app.loader.import_default_modules()
rows = PeriodicTask.objects.exclude(name="celery.backend_cleanup")
seals = dict(SignalLog.objects.values_list("seal", "seq"))
facts = {{
    "oldest": Candle.objects.filter(market__symbol="BTCUSDT").order_by("open_time").first().open_time,
    "kept": all(seals.get(seal) == seq for _, seq, seal in made["signals"]),
    "edited": rows.get(name="score outcomes").crontab.minute,
    "disabled": not rows.get(name="daily training").enabled,
    "unknown": sorted(set(rows.values_list("task", flat=True)) - set(app.tasks)),
}}
for name, newest in steps:
    call_command("migrate", name, newest, verbosity=0)
print()
print(json.dumps(facts))
"""
"""Facts after the upgrade, then the downgrade, migration by migration, as documented."""
BACK = """
from django.core.management import call_command
call_command("check")
call_command("migrate", check_unapplied=True)
call_command("verify_track_record")
"""
"""Checks in the older version after the downgrade."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """The source of the older version."""
    folder = tmp_path_factory.mktemp("older")
    archive = subprocess.run(["git", "archive", OLDER], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        reason = f"commit {OLDER} is not in this clone (git fetch --unshallow)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI requires it: {reason}")
        pytest.skip(reason)
    subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
    return folder


@pytest.fixture(
    params=[pytest.param("sqlite", marks=pytest.mark.long), pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def environment(request, tmp_path):
    """Environment of a one-process installation with a private database."""
    if request.param == "sqlite" and os.environ.get("DATABASE_URL"):
        pytest.skip("runs where DATABASE_URL is not set")
    state = tmp_path / "state"
    own = {
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "MLENGINE_STATE_DIR": str(state),
        "MODEL_PATH": str(state / "models"),
        "MLENGINE_ENV_FILE": "",
    }
    if request.param == "sqlite":
        yield own
        return
    with new_database() as url:
        yield own | {"DATABASE_URL": url}


@contextmanager
def running(environment, folder, project=ROOT):
    """A running `up` of a version; yields its port and a function for its output."""
    folder.mkdir()
    processes, port = Processes(folder, environment, project), free_port()
    processes.start("up", sys.executable, "manage.py", "up", "--port", str(port), "--no-train")
    try:
        until(lambda: answers(port), 120, "`up` answers", processes.logs)
        yield port, processes.logs
    finally:
        processes.stop()


def printed(output):
    """The JSON object in the output of a command."""
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def send_request(port, path, key="", body=None, cookie=""):
    """Status and content of one request; status 0 on a timeout."""
    headers = {"X-API-Key": key} if key else {"Cookie": f"sessionid={cookie}"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", content, {**headers, "Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as silent:
        return 0, str(silent)


def until(look, seconds, what, output):
    """The first true value of `look`; failed requests are repeated."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    return pytest.fail(f"not within {seconds} s: {what}\n{output()}")


def content_of(answer):
    """The JSON of an answer of 200, else None."""
    status, content = answer
    return json.loads(content) if status == 200 else None


def check_upgraded(port, output, made):
    """Check that champions, key and session still work, and that new candles get signals in order."""
    key, predicts = made["key"], {"symbol": "BTCUSDT", "horizon": 6}
    prediction = until(
        lambda: content_of(send_request(port, "/predictions", key, predicts)), 120, "a prediction", output
    )
    assert prediction["model_versions"] == made["champions"]

    known = [seq for symbol, seq, _ in made["signals"] if symbol == "BTCUSDT"]
    listed = "/signals?symbol=BTCUSDT&after=0&limit=500"

    def signals():
        found = (content_of(send_request(port, listed, key)) or {"results": []})["results"]
        return found if len(found) > len(known) else None

    found = until(signals, 120, "a signal of a new candle", output)
    assert [signal["seq"] for signal in found] == list(range(1, len(found) + 1))

    def page():
        status, content = send_request(port, "/", cookie=made["session"])
        return content if status == 200 else None

    shown = until(page, 120, "the console's page", output)
    assert "BTCUSDT" in shown
    assert "operator" in shown


def test_older_installation_is_upgraded_and_downgraded(older, environment, tmp_path):
    made = printed(manage(environment, "shell", "-c", f"exec(open({str(INSTALLATION)!r}).read())", project=older))
    if environment["DATABASE_URL"]:
        assert {"api_keys", "websocket_tickets"} <= set(tables(environment["DATABASE_URL"], "public"))

    with running(environment, tmp_path / "new") as (port, output):
        check_upgraded(port, output, made)

        def ended():
            job = content_of(send_request(port, f"/jobs/{made['job']}", made["key"]))
            return job if job and job["state"] not in {"pending", "running"} else None

        job = until(ended, 120, "the queued job ends", output)
        assert job["state"] == "succeeded", f"{job['message']}\n{output()}"

        def beat():
            health = content_of(send_request(port, "/health/detailed", made["key"]))
            return health and health["beat"]["status"] == "healthy"

        until(beat, 120, "beat fires", output)

    steps = re.findall(r"manage\.py migrate (\w+) (\d+)", (ROOT / "docs" / "upgrading.md").read_text())
    assert dict(steps) == {path.parent.parent.name: path.stem[:4] for path in sorted(older.glob("**/migrations/0*.py"))}
    if environment["DATABASE_URL"]:
        assert set(tables(environment["DATABASE_URL"], "public")) == {"django_migrations"}
    output = manage(environment, "shell", "-c", UPGRADED.format(made=made, steps=steps))
    facts = printed(output)
    assert facts.pop("oldest") <= made["oldest"]  # beat may have requested older history in the meantime
    assert facts == {"kept": True, "edited": "3-59/5", "disabled": True, "unknown": []}
    assert output.count("in unbroken chains") == 2
    assert "and 0 signals" not in output

    with running(environment, tmp_path / "old", older) as (port, output):
        check_upgraded(port, output, made)
    assert manage(environment, "shell", "-c", BACK, project=older).count("in unbroken chains") == 2
