"""Database check of `doctor`: connections of the running processes against the server's limit."""

from datetime import timedelta

import pytest

from marketdata import clock
from mlengine_project.operations import doctor
from mlengine_project.operations.models import Heartbeat

pytestmark = pytest.mark.django_db


def beats(**parts):
    for part, count in parts.items():
        for number in range(count):
            Heartbeat.objects.create(name=f"{part}:{number}", part=part, at=clock.wall_now())


def test_connections_are_summed_over_running_processes(settings):
    settings.REQUEST_THREADS = 6
    beats(web=4, worker=2, scheduler=1, stream=1)
    Heartbeat.objects.create(name="web:ended", part="web", at=clock.wall_now() - timedelta(minutes=5))
    assert doctor.connections_needed() == 4 * (6 + doctor.OTHER_WEB_CONNECTIONS) + 2 * 8 + 2 + 6


@pytest.mark.postgres
def test_too_many_connections_are_reported_with_advice(settings):
    settings.REQUEST_THREADS = 2
    beats(web=1)
    [fits] = doctor.diagnose(["database"])
    assert fits.well, fits.seen
    settings.REQUEST_THREADS = 100_000
    [found] = doctor.diagnose(["database"])
    assert not found.well
    assert "at most 100009 connections of" in found.seen
    assert "smaller REQUEST_THREADS" in found.advice
