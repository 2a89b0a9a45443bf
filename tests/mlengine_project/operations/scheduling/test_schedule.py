"""The beat schedule is installed once; changes of an operator are kept."""

import importlib

import pytest
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

from mlengine_project.operations.scheduling.schedule import SCHEDULE, install_schedule


@pytest.mark.django_db
def test_missing_rows_are_created_and_edited_rows_are_kept():
    assert sorted(install_schedule()) == sorted(entry.name for entry in SCHEDULE)
    edited = PeriodicTask.objects.get(name="daily training")
    edited.enabled = False
    edited.save()
    PeriodicTask.objects.get(name="sweep outbox").delete()
    call_command("install_schedule")
    assert PeriodicTask.objects.get(name="daily training").enabled is False
    assert PeriodicTask.objects.filter(name="sweep outbox").count() == 1


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.name)
def test_every_scheduled_task_exists_and_expires(entry):
    module, name = entry.task.rsplit(".", 1)
    task = getattr(importlib.import_module(module), name)
    assert task.name == entry.task
    assert task.expires, "tasks sent while no worker runs must expire"
