"""Admin pages of jobs: requested, monitored and cancelled."""

import pytest
from django.contrib.auth.models import Permission

from marketdata import clock
from mlengine_project.operations.models import Job
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
LIST = "/admin/operations/job/"


@pytest.fixture(autouse=True)
def queued(settings, monkeypatch):
    """Queued job ids; no job runs."""
    settings.ALLOWED_HOSTS = ["testserver"]
    sent = []
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", sent.append)
    return sent


def test_retrain_now_requests_the_chosen_kinds(admin_client, queued, django_capture_on_commit_callbacks):
    assert admin_client.get(LIST + "retrain_now/").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        answer = admin_client.post(LIST + "retrain_now/", {"kinds": ["range_predictor"]})
    job = Job.objects.get()
    assert answer["Location"] == f"{LIST}{job.pk}/change/"
    assert (job.kind, job.arguments, job.asked_by) == (
        "training",
        {"kinds": ["range_predictor"], "small": False},
        "admin",
    )
    assert queued == [str(job.pk)]


def test_backfill_requests_enabled_markets_only(admin_client):
    rows.market("BTCUSDT")
    rows.market("ETHUSDT", enabled=False)
    refused = admin_client.post(LIST + "backfill/", {"symbols": ["ETHUSDT"], "days": 3})
    assert refused.status_code == 200
    assert not Job.objects.exists()
    with clock.use(clock.FrozenClock(1_735_689_600_000)):
        admin_client.post(LIST + "backfill/", {"symbols": ["BTCUSDT"], "days": 3})
    assert Job.objects.get().arguments == {"symbols": ["BTCUSDT"], "from": "2024-12-29T00:00:00Z"}


def test_get_requests_start_nothing(admin_client, queued):
    for step in ("retrain_now/", "backfill/"):
        assert admin_client.get(LIST + step).status_code == 200
    assert not Job.objects.exists()
    assert queued == []


def test_cancelled_pending_job_ends_at_once_and_a_running_one_is_requested_to(admin_client):
    pending = Job.objects.create(kind="training")
    running = Job.objects.create(kind="training", state="running")
    for job in (pending, running):
        assert admin_client.get(f"{LIST}{job.pk}/cancel_job/").status_code == 200
        admin_client.post(f"{LIST}{job.pk}/cancel_job/")
    pending.refresh_from_db()
    running.refresh_from_db()
    assert pending.state == "cancelled"
    assert (running.state, running.cancel_requested) == ("running", True)


def test_ended_job_is_not_changed(admin_client):
    job = Job.objects.create(kind="training", state="succeeded")
    answer = admin_client.post(f"{LIST}{job.pk}/cancel_job/", follow=True)
    assert "already ended" in answer.content.decode()
    job.refresh_from_db()
    assert job.state == "succeeded"


def test_each_step_has_its_permission(client, django_user_model):
    job = Job.objects.create(kind="training")
    person = django_user_model.objects.create_user("eve", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(person)
    assert client.get(LIST).status_code == 200
    for path in (f"{LIST}retrain_now/", f"{LIST}backfill/", f"{LIST}{job.pk}/cancel_job/"):
        assert client.post(path, {"kinds": ["range_predictor"]}).status_code == 403
    assert Job.objects.get().state == "pending"
