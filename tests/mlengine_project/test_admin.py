"""Admin pages: all open with few queries, and log rows cannot be changed."""

import re
import uuid

import pytest
from django.contrib import admin
from django.urls import reverse

from marketdata import clock
from mlengine_project.operations.scheduling.schedule import install_schedule
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
SHOWN = sorted(admin.site._registry, key=lambda model: model._meta.label)
EDITABLE = {
    "auth.Group",
    "auth.User",
    "marketdata.Market",
    "django_celery_beat.PeriodicTask",
    "django_celery_beat.CrontabSchedule",
    "django_celery_beat.IntervalSchedule",
    "django_celery_beat.ClockedSchedule",
}
ENGINE_APPS = {"marketdata", "modelregistry", "predictions", "signals", "access", "operations"}


@pytest.fixture(autouse=True)
def filled(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    with clock.use(clock.FrozenClock(rows.BEGIN + 2_000)):
        install_schedule()
        rows.one_of_everything()
        yield


def address(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_table_of_the_engine_is_in_the_admin():
    from django.apps import apps

    missing = [
        m._meta.label for m in apps.get_models() if m._meta.app_label in ENGINE_APPS and m not in admin.site._registry
    ]
    assert missing == [], (
        "register them (ReadOnlyAdmin), add them to admin_site.py, and create a row in one_of_everything"
    )


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model._meta.label)
def test_list_and_page_open_with_few_queries(admin_client, model, django_assert_max_num_queries):
    with django_assert_max_num_queries(24):
        assert admin_client.get(address(model, "changelist")).status_code == 200
    row = model._default_manager.first()
    if row is None:
        assert model._meta.label in EDITABLE, "one_of_everything creates no row of it"
        return
    with django_assert_max_num_queries(30):
        page = admin_client.get(address(model, "change", row.pk))
    assert page.status_code == 200


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model._meta.label)
def test_longer_list_has_no_more_queries(admin_client, model):
    """More rows need no more queries."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    of = rows.Market.objects.get()
    with CaptureQueriesContext(connection) as before:
        admin_client.get(address(model, "changelist"))
    rows.candles(of, 5, until=rows.BEGIN - 100 * rows.STEP)
    for back in range(5, 10):
        rows.prediction(of, 6, rows.BEGIN - back * rows.STEP)
        rows.signal(of, back, rows.BEGIN - back * rows.STEP)
        rows.version(seed=back)
        rows.Job.objects.create(kind="backfill")
        rows.AbsentStretch.objects.create(market=of, start=back * rows.STEP, end=(back + 1) * rows.STEP, evidence={})
    with CaptureQueriesContext(connection) as after:
        admin_client.get(address(model, "changelist"))
    assert len(after) <= len(before)


@pytest.mark.redis
def test_the_search_finds_pages_with_redis_too(admin_client):
    """The theme caches objects, which the cache of predictions cannot store; a repeated search works."""
    for _ in range(2):
        found = admin_client.get("/admin/search/", {"s": "promotion"})
        assert found.status_code == 200
        assert reverse("admin:modelregistry_promotionevent_changelist") in found.content.decode()


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model._meta.label)
def test_log_rows_cannot_be_edited_or_deleted(admin_client, model):
    if model._meta.label in EDITABLE:
        return
    row = model._default_manager.first()
    assert admin_client.get(address(model, "add")).status_code == 403
    assert admin_client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert admin_client.post(address(model, "change", row.pk), {}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_market_can_be_disabled_but_not_renamed_or_deleted(admin_client):
    of = rows.Market.objects.get()
    page = address(rows.Market, "change", of.pk)
    answer = admin_client.post(page, {"symbol": "OTHER", "source": "exchange"})
    assert answer.status_code == 302
    of.refresh_from_db()
    assert (of.symbol, of.source, of.enabled) == ("BTCUSDT", "simulated", False)
    assert admin_client.post(address(rows.Market, "delete", of.pk), {"post": "yes"}).status_code == 403


def test_index_shows_the_state_of_the_engine(admin_client, django_assert_max_num_queries):
    with django_assert_max_num_queries(40):
        page = admin_client.get("/admin/").content.decode()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Prices are simulated" in text
    assert "Signals are on for all markets" in text
    assert "Active models 1 of 3" in text
    assert "Signals, last 24 h 1" in text
    assert "Waiting to be sent 1" in text
    assert "fold 3 of 5" in text
    assert "Worker running" in text


def test_times_have_iso_format(admin_client):
    page = admin_client.get(address(rows.SignalLog, "changelist")).content.decode()
    assert ">2024-12-31 23:55<" in page


def test_a_job_shows_a_bar(admin_client):
    page = admin_client.get(address(rows.Job, "changelist")).content.decode()
    assert '<progress class="engine-progress" max="1" value="0.430">' in page


def test_version_shows_its_figures_with_the_baselines(admin_client):
    version = rows.ModelVersion.objects.get()
    page = admin_client.get(address(rows.ModelVersion, "change", version.pk)).content.decode()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Pinball loss (bps) Ewm Har Skill % BTCUSDT 6 high 5.25 5.75 5.5 4.5" in text


def test_only_admin_pages_allow_eval(admin_client):
    def policy(path):
        return admin_client.get(path)["Content-Security-Policy"]

    assert "'unsafe-eval'" in policy("/admin/")
    assert "'unsafe-eval'" not in policy("/")
    scripts = next(part for part in policy("/").split(";") if part.strip().startswith("script-src"))
    assert "unsafe" not in scripts


@pytest.mark.parametrize("path", ["/admin/", "/admin/signals/signallog/", "/admin/access/apikey/create_key/"])
def test_admin_pages_name_no_other_site(admin_client, path):
    page = admin_client.get(path).content.decode()
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]+', page) == []


def test_only_staff_may_open_the_admin(client, django_user_model):
    assert client.get("/admin/").status_code == 302
    client.force_login(django_user_model.objects.create_user("eve"))
    assert client.get("/admin/").status_code == 302
    assert client.get("/admin/access/apikey/create_key/").status_code == 302


STEPS = [
    (model, step)
    for model in SHOWN
    for places in ("actions_detail", "actions_row")
    for step in getattr(admin.site._registry[model], places, None) or ()
]


def test_every_table_with_actions_is_tested():
    assert {model._meta.model_name for model, _ in STEPS} == {"apikey", "job", "modelversion", "signalswitch"}


@pytest.mark.parametrize("number", [uuid.UUID(int=7), 0, -1, 10**30, "abc", "abc_2F", "é" * 500])
@pytest.mark.parametrize(("model", "step"), STEPS, ids=lambda part: getattr(part, "__name__", part))
def test_a_step_of_an_unknown_row_is_404(admin_client, model, step, number):
    for send_request in (admin_client.get, admin_client.post):
        response = send_request(address(model, step, number))
        assert (response.status_code, response.json()["error"]) == (404, "NotFound")


BULK = {"action": "delete_selected", "_selected_action": "x"}


@pytest.mark.parametrize(
    "path",
    [
        "auth/group",
        "auth/user",
        "django_celery_beat/periodictask",
        "django_celery_beat/crontabschedule",
        "access/apikey",
    ],
)
def test_bulk_action_with_an_invalid_id_is_404(path, client, admin_user):
    client.force_login(admin_user)
    assert client.post(f"/admin/{path}/", BULK).status_code == 404


@pytest.mark.parametrize(
    "query", ["created_at__year=99999", "created_at__year__gte=x", "name__regex=((a", "name__iregex=a"]
)
def test_a_lookup_that_fails_in_the_database_is_refused(query, client, admin_user):
    client.force_login(admin_user)
    assert client.get(f"/admin/access/apikey/?{query}").status_code == 400
    assert client.get("/admin/access/apikey/?created_at__year=2026").status_code == 200
