"""Beat fires its rows with any clock change and any stored times."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from mlengine_project.celery import app
from mlengine_project.operations.models import Heartbeat
from mlengine_project.operations.scheduling.beat_scheduler import EngineScheduler
from mlengine_project.operations.scheduling.schedule import install_schedule
from signals import tasks as signal_tasks

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 29, 12, 0, 30, tzinfo=UTC)
EVERY_MINUTE = {"advance markets", "sweep outbox", "beat heartbeat"}


class RecordingScheduler(EngineScheduler):
    """The scheduler of beat, which records tasks instead of sending them."""

    def __init__(self):
        self.sent = []
        super().__init__(app)
        self._finalize.cancel()  # it would write after the test database is dropped

    def apply_async(self, entry, producer=None, advance=True, **options):
        self.sent.append(entry.name)

    def run(self, travel, seconds):
        """Tick for a number of seconds; returns the names of the rows that fired."""
        self.sent.clear()
        passed = 0.0
        while passed < seconds:
            wait = self.tick()
            step = wait if wait and wait > 0 else 0.001
            travel.shift(timedelta(seconds=step))
            passed += step
        return set(self.sent)


@pytest.fixture
def travel():
    with time_machine.travel(NOON, tick=False) as traveller:
        install_schedule()
        yield traveller


def test_rows_ahead_of_now_are_corrected_at_the_start_and_fire(travel):
    PeriodicTask.objects.update(last_run_at=NOON + timedelta(days=400))
    scheduler = RecordingScheduler()
    assert scheduler.run(travel, 45) >= EVERY_MINUTE
    assert not PeriodicTask.objects.filter(last_run_at__gt=NOON + timedelta(days=1)).exists()


def test_a_row_that_never_ran_and_was_made_ahead_of_now_fires(travel):
    PeriodicTask.objects.update(last_run_at=None, date_changed=NOON + timedelta(days=400))
    assert RecordingScheduler().run(travel, 45) >= EVERY_MINUTE


@pytest.mark.parametrize("hours", [1, 26, 24 * 365])
def test_rows_fire_after_the_clock_was_set_back(travel, hours):
    scheduler = RecordingScheduler()
    assert scheduler.run(travel, 90) >= EVERY_MINUTE
    travel.shift(timedelta(hours=-hours))
    assert scheduler.run(travel, 75) >= EVERY_MINUTE


def test_the_daily_rows_of_the_day_the_clock_was_set_back_to_are_read(travel):
    travel.move_to(NOON)
    scheduler = RecordingScheduler()
    scheduler.run(travel, 10)
    travel.move_to(NOON.replace(hour=2, minute=49))
    assert "re-read history" in scheduler.run(travel, 90)


def test_row_ahead_of_now_is_corrected_while_running(travel):
    scheduler = RecordingScheduler()
    scheduler.run(travel, 90)
    PeriodicTask.objects.update(last_run_at=NOON + timedelta(days=30))
    PeriodicTasks.update_changed()  # as by an edit in the admin
    assert scheduler.run(travel, 75) >= EVERY_MINUTE


def test_an_edit_after_the_clock_was_set_back_is_noticed(travel):
    scheduler = RecordingScheduler()
    PeriodicTasks.update_changed()
    scheduler.run(travel, 10)
    travel.shift(timedelta(seconds=-3))
    PeriodicTask.objects.filter(name="sweep outbox").first().delete()
    PeriodicTasks.update_changed()
    scheduler.run(travel, 4)
    assert "sweep outbox" not in scheduler.schedule


def test_a_clock_corrected_by_a_little_fires_no_row_twice(travel):
    scheduler = RecordingScheduler()
    scheduler.run(travel, 32)
    travel.shift(timedelta(seconds=-3))
    assert not scheduler.run(travel, 2)


def test_an_outage_of_the_database_does_not_end_it(travel, monkeypatch):
    scheduler = RecordingScheduler()
    scheduler.run(travel, 10)

    def away(*_):
        raise DatabaseError("the connection is lost")

    monkeypatch.setattr(scheduler, "enabled_models", away)
    travel.shift(timedelta(minutes=6))
    assert scheduler.run(travel, 60) >= EVERY_MINUTE


def test_heartbeat_has_the_brokers_error(travel, monkeypatch):
    """A full Redis refuses every write; beat continues and reports it."""
    scheduler = EngineScheduler(app)
    scheduler._finalize.cancel()

    def refuse(*_, **__):
        raise OSError("OOM command not allowed when used memory > 'maxmemory'.")

    monkeypatch.setattr(app.tasks[signal_tasks.sweep_outbox.name], "apply_async", refuse)
    monkeypatch.setattr(scheduler, "producer", None)
    scheduler.apply_entry(scheduler.schedule["sweep outbox"])
    scheduler.tick()
    assert "OOM" in Heartbeat.objects.get(part="scheduler").detail["refused"]
