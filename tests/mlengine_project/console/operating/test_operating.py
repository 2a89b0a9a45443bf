"""Operations page: health of the API, schedule in words, switch and keys by permission."""

import pytest
from django.contrib.auth.models import Permission
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from mlengine_project.access import services as access
from mlengine_project.access.models import ApiKey
from mlengine_project.operations.models import Job
from mlengine_project.operations.scheduling.schedule import install_schedule
from signals import kill_switch
from tests.mlengine_project.console import rows
from tests.mlengine_project.console.test_pages import words

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(client, django_user_model):
    def with_permissions(*names):
        user = django_user_model.objects.create_user(f"user{django_user_model.objects.count()}")
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    return with_permissions


def test_health_is_that_of_the_api_with_causes(admin_client, client):
    rows.market()
    _, secret = access.create_key("tests", "read")
    answer = client.get("/health/detailed", headers={"X-API-Key": secret}).json()
    shown = words(admin_client.get("/console/operations"))
    faults = {
        name: part for name, part in answer.items() if isinstance(part, dict) and part.get("status") == "degraded"
    }
    assert faults
    for part in faults.values():
        assert part["message"].split(" since")[0][1:40] in shown
    assert shown.count("! degraded") == len(faults)


def test_schedule_is_in_words_with_a_warning_before_too_many_trainings(admin_client):
    install_schedule()
    shown = words(admin_client.get("/console/operations"))
    assert "Daily training every day at 00:20 UTC" in shown
    assert "Requeue jobs every 5 minutes" in shown
    assert "times a day" not in shown
    often, _ = CrontabSchedule.objects.get_or_create(minute="*/5", hour="*", timezone="UTC")
    PeriodicTask.objects.filter(name="daily training").update(crontab=often)
    assert "This asks for a training 288 times a day" in words(admin_client.get("/console/operations"))
    hourly, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(name="daily training").update(crontab=None, interval=hourly)
    shown = words(admin_client.get("/console/operations"))
    assert "Daily training every hour" in shown
    assert "This asks for a training 24 times a day" in shown


def test_jobs_are_live_and_can_be_cancelled_only_by_permission(person):
    job = Job.objects.create(kind="training", state="running", progress=0.43, message="fold 3 of 5", asked_by="ada")
    client = person()
    for path in ("/console/operations", "/console/operations/live"):
        assert "43.0 % fold 3 of 5" in words(client.get(path))
        assert "/cancel" not in client.get(path).content.decode()
    assert f"/console/jobs/{job.pk}/cancel" in person("change_job").get("/console/operations/live").content.decode()


def test_kill_switch_is_there_once_and_wants_permission_and_reason(person):
    client = person()
    assert "/console/operations/switch" not in client.get("/console/operations").content.decode()
    assert client.post("/console/operations/switch", {"reason": "x"}).status_code == 403
    client = person("change_signalswitch")
    assert client.get("/console/operations").content.decode().count('/console/operations/switch"') == 1
    assert client.post("/console/operations/switch", {}).status_code == 400
    assert kill_switch.switched_off_symbols() == {}
    off = words(client.post("/console/operations/switch", {"reason": "implausible prices"}, follow=True))
    assert "Signals are off for all markets implausible prices (user" in off
    assert kill_switch.switched_off_symbols() == {"": "implausible prices"}
    assert "Signals are on" in words(client.post("/console/operations/switch", {"reason": "over"}, follow=True))
    assert kill_switch.switched_off_symbols() == {}


def test_signals_of_one_market_are_switched_off_and_on(person):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        rows.market(symbol)
    off, on = "/console/operations/switch/off", "/console/operations/switch/on/ETHUSDT"
    assert person().post(off, {"symbol": "ETHUSDT", "reason": "x"}).status_code == 403
    client = person("change_signalswitch")
    assert client.get(on).status_code == 404
    assert client.post(off, {"symbol": "NOPE", "reason": "x"}).status_code == 400
    shown = words(client.post(off, {"symbol": "ETHUSDT", "reason": "halted"}, follow=True))
    assert "Signals are on" in shown
    assert "Off by market: ETHUSDT (halted)" in shown
    assert kill_switch.switched_off_symbols() == {"ETHUSDT": "halted"}
    assert "ETHUSDT" not in words(client.get(off)).split("Market", 1)[1]
    assert "Off by market" not in words(client.post(on, {"reason": "over"}, follow=True))
    assert kill_switch.switched_off_symbols() == {}


def test_key_is_rotated_once_and_both_are_valid_meanwhile(person):
    key, old = access.create_key("backend", "predict")
    path = f"/console/operations/keys/{key.pk}/rotate"
    assert person("view_apikey").post(path, {"reason": "yearly"}).status_code == 403
    client = person("view_apikey", "change_apikey")
    assert path in client.get("/console/operations").content.decode()
    made = client.post(path, {"reason": "yearly"})
    secret = made.content.decode().split('id="new-key" tabindex="0">')[1].split("<")[0]
    identities = [access.authenticate_key(one) for one in (old, secret)]
    assert [(one.name, one.scope) for one in identities] == 2 * [("backend", "predict")]
    assert client.post(path, {"reason": "again"}).status_code == 409
    assert path not in client.get("/console/operations").content.decode()


def test_key_is_shown_once_and_revoked_by_permission(person):
    assert "API keys" not in words(person().get("/console/operations"))
    assert person("view_apikey").post("/console/operations/keys/new", {"name": "a", "scope": "read"}).status_code == 403
    client = person("view_apikey", "add_apikey", "change_apikey")
    made = client.post("/console/operations/keys/new", {"name": "backend", "scope": "read"})
    secret = made.content.decode().split('id="new-key" tabindex="0">')[1].split("<")[0]
    assert access.authenticate_key(secret).name == "backend"
    assert 'data-copy="new-key"' in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    page = client.get("/console/operations")
    assert secret not in page.content.decode()
    key = ApiKey.objects.get()
    assert f"{key.prefix}…" in words(page)
    path = f"/console/operations/keys/{key.pk}/revoke"
    assert person("view_apikey").post(path, {"reason": "lost"}).status_code == 403
    done = person("view_apikey", "change_apikey").post(path, {"reason": "lost"}, follow=True)
    assert "is revoked" in words(done)
    assert "revoked" in words(done)
    assert access.authenticate_key(secret) is None
