"""Admin of the schedule: a training that is asked for too often is warned about."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from mlengine_project.operations.scheduling.schedule import install_schedule
from mlengine_project.operations.scheduling.words import TRAINING_TASK

pytestmark = pytest.mark.django_db
WARNING = "This asks for a training 288 times a day."


@pytest.fixture
def training():
    install_schedule()
    return PeriodicTask.objects.get(task=TRAINING_TASK)


def form_of(admin_client, row):
    return admin_client.get(reverse("admin:django_celery_beat_periodictask_change", args=[row.pk]))


def test_form_warns_of_a_training_every_five_minutes(admin_client, training):
    assert WARNING not in form_of(admin_client, training).content.decode()
    training.crontab = CrontabSchedule.objects.create(minute="*/5", hour="*")
    training.save()
    assert WARNING in form_of(admin_client, training).content.decode()


def test_saving_the_form_warns_too(admin_client, training):
    often = CrontabSchedule.objects.create(minute="*/5", hour="*")
    page = form_of(admin_client, training)
    fields = {name: value for name, value in page.context["adminform"].form.initial.items() if value is not None}
    for name in ("expires", "start_time", "last_run_at"):
        fields.pop(name, None)
    sent = {**fields, "crontab": often.pk, "regtask": training.task, "task": training.task}
    answer = admin_client.post(reverse("admin:django_celery_beat_periodictask_change", args=[training.pk]), sent)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert any(WARNING in str(message) for message in get_messages(answer.wsgi_request))
    training.refresh_from_db()
    assert training.crontab == often
