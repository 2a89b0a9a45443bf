"""Health cannot lie: each part says what it knows, and nothing is looked at where that was promised."""

from datetime import timedelta

import pytest

from marketdata import clock
from mlengine_project.operations import health
from mlengine_project.operations.models import Heartbeat


def test_alive_does_no_io(client, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    response = client.get("/health")  # the database is forbidden in this test
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


def test_readiness_is_asked_at_most_every_two_seconds(monkeypatch):
    asked = []
    monkeypatch.setattr(health, "_database_answers", lambda: asked.append(1) or len(asked) > 1)
    monkeypatch.setattr(health, "_predictions_are_answered", lambda: True)
    health.forget()
    with clock.use(clock.FrozenClock(1_790_000_000_000)) as frozen:
        assert health.readiness() == ["database"]
        frozen.advance(1.9)
        assert health.readiness() == ["database"]
        assert len(asked) == 1
        frozen.advance(0.2)
        assert health.readiness() == []
    health.forget()


def test_a_database_that_hangs_is_not_waited_for(monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(health, "_database_answers", lambda: release.wait(10))
    health.forget()
    assert health.readiness() == ["database"]
    release.set()
    health.forget()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("part", "name", "silent", "status"),
    [("worker", "celery", 30, "healthy"), ("worker", "celery", 90, "degraded"), ("beat", "beat", 90, "healthy"),
     ("beat", "beat", 200, "degraded"), ("stream", "stream", 30, "healthy"), ("stream", "stream", 3600, "degraded")],
)  # fmt: skip
def test_a_part_is_well_while_it_gives_signs_of_life(part, name, silent, status):
    Heartbeat.objects.create(name=f"{part}:host:1", part=part, at=clock.wall_now() - timedelta(seconds=silent))
    Heartbeat.objects.create(name=f"{part}:host:2", part=part, at=clock.wall_now() - timedelta(seconds=silent + 999))
    reports = health.processes()
    assert reports[name]["status"] == status
    assert {report["status"] for other, report in reports.items() if other != name} == {"degraded"}


@pytest.mark.django_db
def test_which_process_has_which_version_in_memory():
    now = clock.wall_now()
    loaded = {"loaded": {"exchange": {"range_predictor": "v1"}}}
    Heartbeat.objects.create(name="web:a:1", part="web", at=now, detail=loaded)
    Heartbeat.objects.create(name="worker:a:2", part="worker", at=now, detail=loaded)
    Heartbeat.objects.create(name="worker:a:3", part="worker", at=now - timedelta(minutes=5), detail=loaded)
    assert health.loaded_by() == {"v1": ["web:a:1", "worker:a:2"]}
