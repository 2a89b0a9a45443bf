"""Jobs: claimed once, monitored, cancelled, never lost."""

import sys
import threading
from datetime import timedelta

import pytest

from marketdata import clock
from marketdata.process_state import process_state
from mlengine_project.operations import tasks
from mlengine_project.operations.jobs import control, runs
from mlengine_project.operations.jobs.runs import RunningJobs
from mlengine_project.operations.models import Job
from modelregistry.models import ModelVersion
from tests.flows.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queued(monkeypatch):
    """Queued job ids in order, without a broker."""
    sent = []
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", sent.append)
    return sent


def script(monkeypatch, body):
    monkeypatch.setattr(runs, "command_line", lambda job: [sys.executable, "-c", body])


def test_the_same_slot_is_the_same_job(queued):
    first = control.request_training("me", slot="day")
    assert control.request_training("another user", slot="day").id == first.id
    assert queued == [str(first.id)]


def test_daily_training_is_requested_once(queued):
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        for _ in range(2):
            tasks.request_daily_training()
        assert (len(queued), Job.objects.count()) == (1, 1)
        frozen.advance(86_400)
        for _ in range(2):
            tasks.request_daily_training()
    assert len(set(queued)) == len(queued) == Job.objects.count() == 2


def test_run_stores_progress_and_result(queued, monkeypatch):
    job = control.request_training("me")
    script(monkeypatch, 'print(\'{"done": 1, "total": 2, "message": "half"}\'); print(\'candidate ready\')')
    runs.run(str(job.id))
    job.refresh_from_db()
    assert (job.state, job.progress, job.result["output"]) == ("succeeded", 1.0, "candidate ready")
    assert job.ended_at is not None


def test_failing_command_fails_the_job_with_its_last_line(queued, monkeypatch):
    job = control.request_training("me")
    script(monkeypatch, "import sys; print('too few candles'); sys.exit(3)")
    runs.run(str(job.id))
    job.refresh_from_db()
    assert (job.state, job.message, job.result["code"]) == ("failed", "too few candles", 3)


def test_a_job_runs_once_however_often_it_is_queued(queued, monkeypatch, tmp_path):
    job = control.request_training("me")
    marks = tmp_path / "marks"
    script(monkeypatch, f"open({str(marks)!r}, 'a').write('x')")
    threads = [threading.Thread(target=run_and_close, args=(str(job.id),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert marks.read_text() == "x"


def run_and_close(job_id):
    from django.db import connection

    runs.run(job_id)
    connection.close()


def test_process_without_output_keeps_its_job(queued, monkeypatch):
    job = control.request_training("me")
    monkeypatch.setattr(runs, "TOUCH_SECONDS", 0.05)
    monkeypatch.setattr(runs, "ORPHANED_SECONDS", 0.6)
    monkeypatch.setattr(control, "ORPHANED_SECONDS", 0.6)
    script(monkeypatch, "import time; time.sleep(2.5)")
    runner = threading.Thread(target=run_and_close, args=(str(job.id),))
    runner.start()
    threading.Event().wait(1.8)
    queued.clear()
    assert (Job.objects.get(id=job.id).state, control.requeue_pending(), runs.claim(str(job.id))) == (
        "running",
        0,
        None,
    )
    runner.join(timeout=20)
    assert Job.objects.get(id=job.id).state == "succeeded"


def test_cancelling_stops_a_process_that_reports_nothing(queued, monkeypatch):
    job = control.request_training("me")
    monkeypatch.setattr(runs, "TOUCH_SECONDS", 0.1)
    script(monkeypatch, "import time; time.sleep(60)")
    runner = threading.Thread(target=run_and_close, args=(str(job.id),))
    runner.start()
    deadline = clock.monotonic() + 20
    while not process_state.of(RunningJobs).processes and clock.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert control.cancel(job)
    runner.join(timeout=20)
    assert Job.objects.get(id=job.id).state == "cancelled"


def test_an_orphaned_job_is_queued_and_claimed_again(queued, monkeypatch):
    job = control.request_training("me")
    Job.objects.filter(id=job.id).update(state="running", heartbeat_at=clock.wall_now() - timedelta(hours=1))
    queued.clear()
    assert control.requeue_pending() == 1
    assert queued == [str(job.id)]
    script(monkeypatch, "print('again')")
    runs.run(str(job.id))
    assert Job.objects.get(id=job.id).state == "succeeded"


def test_command_line_is_built_from_the_jobs_arguments():
    job = Job(kind="training", arguments={"symbols": ["BTCUSDT", "ETHUSDT"], "small": True, "until": None})
    line = runs.command_line(job)
    assert line[2:] == ["train_models", "--progress-json", "--small", "--symbols", "BTCUSDT", "ETHUSDT"]


def test_a_training_that_succeeds_is_followed_by_one_retention_run(queued, monkeypatch):
    training, backfill = control.request_training("me"), control.request_backfill("me")
    script(monkeypatch, "")
    for job in (training, training, backfill):
        tasks.run_job(str(job.id))
    retention = Job.objects.get(kind="retention")
    assert queued == [str(training.id), str(backfill.id), str(retention.id)]
    assert retention.asked_by == "training"

    failing = control.request_training("me")
    script(monkeypatch, "import sys; sys.exit(3)")
    tasks.run_job(str(failing.id))
    assert Job.objects.filter(kind="retention").count() == 1


def test_daily_retention_is_requested_once(queued):
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        for _ in range(2):
            tasks.request_daily_retention()
        assert [job.kind for job in Job.objects.all()] == ["retention"]
        frozen.advance(86_400)
        tasks.request_daily_retention()
    assert len(queued) == Job.objects.count() == 2


@pytest.mark.postgres
def test_a_retention_run_removes_files_in_a_process_of_its_own(queued, monkeypatch, settings, tmp_path):
    """Runs the real command on the database of this test."""
    settings.MODEL_PATH = tmp_path
    now = clock.wall_now()
    for number in range(3):
        digest = f"{number:064}"
        (tmp_path / "range_predictor" / digest).mkdir(parents=True)
        ModelVersion.objects.create(
            kind="range_predictor", source="exchange", digest=digest, symbols=[], horizons=[], trained_from=now,
            trained_until=now, row_count=1, seed=1,
        )  # fmt: skip
    monkeypatch.setenv("MODEL_PATH", str(tmp_path))
    monkeypatch.setenv("MODEL_RETENTION", "1")
    monkeypatch.setenv("SECRET_KEY", "s" * 50)
    monkeypatch.setenv("DATABASE_URL", database_url())
    job = control.request_daily_retention()
    tasks.run_job(str(job.id))
    job.refresh_from_db()
    assert (job.state, job.progress) == ("succeeded", 1.0)
    assert job.result["output"].splitlines()[-1] == "2 folders removed, 0.0 MiB"
    assert [path.name for path in (tmp_path / "range_predictor").iterdir()] == [f"{2:064}"]
