"""Admin pages: all open with few queries, and log rows cannot be changed."""

import re
import uuid

import pytest
from django.contrib import admin
from django.urls import reverse

from marketdata import clock
from marketdata.admin_pages import LargeLogAdmin
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


def test_the_sidebar_has_at_most_ten_places_and_all_tables_apart(admin_client):
    page = admin_client.get("/admin/").content.decode()
    sidebar = page[page.index('id="nav-sidebar-apps"') :].partition("openAllApplications = !openAllApplications")
    assert 1 < len(re.findall(r"<a href=", sidebar[0])) <= 10
    for model in admin.site._registry:
        assert f'href="{address(model, "changelist")}"' in sidebar[0] + sidebar[2], model


LARGE = [model for model in SHOWN if isinstance(admin.site._registry[model], LargeLogAdmin)]


def statements(client, path):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return [query["sql"] for query in queries.captured_queries]


def test_the_tables_that_grow_with_every_candle_are_large_lists():
    assert {model._meta.model_name for model in LARGE} == {
        "candle", "challengerlog", "outboxmessage", "predictionlog", "signallog"
    }  # fmt: skip


@pytest.mark.parametrize("model", LARGE, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("query", ["", "?q=BTCUSDT", "?q=NOPE", f"?q={uuid.UUID(int=7)}", "?p=3", "?o=1.-2"])
def test_a_large_list_neither_counts_nor_sorts_nor_reads_distinct_values(admin_client, model, query):
    own = [sql for sql in statements(admin_client, address(model, "changelist") + query) if model._meta.db_table in sql]
    for sql in own:
        assert "COUNT(" not in sql.upper()
        assert "DISTINCT" not in sql.upper()
        assert "LIKE" not in sql.upper()
    ordered = [sql.partition("ORDER BY")[2].partition("LIMIT")[0] for sql in own if "ORDER BY" in sql]
    usual = [order for order in ordered if "candle_time" in order or "open_time" in order or '"id" DESC' in order]
    assert ordered == usual


@pytest.mark.parametrize("model", LARGE, ids=lambda model: model._meta.label)
def test_the_search_of_a_large_list_finds_a_symbol_or_an_id(admin_client, model):
    def found(query):
        page = admin_client.get(address(model, "changelist"), {"q": query})
        return {row.pk for row in page.context["cl"].result_list}

    every = set(model.objects.values_list("pk", flat=True))
    assert found("btcusdt ") == every != set()
    assert found("ETHUSDT") == found("USDT") == found("x" * 300) == set()
    some = model.objects.first().pk
    assert found(str(some)) == ({some} if isinstance(some, uuid.UUID) else set())


def test_states_are_filtered_within_the_newest_day(admin_client):
    of = rows.Market.objects.get()
    old = rows.prediction(of, 6, rows.BEGIN - 400 * rows.STEP)
    new = rows.prediction(of, 6, rows.BEGIN - 20 * rows.STEP)
    rows.PredictionLog.objects.filter(pk__in=[old.pk, new.pk]).update(late=True)
    page = admin_client.get("/admin/predictions/predictionlog/?state=late")
    assert [row.pk for row in page.context["cl"].result_list] == [new.pk]
    assert "state, newest day" in page.content.decode().lower()


@pytest.mark.parametrize("horizon", ["x", "6 OR 1=1", "9" * 40, "-6", ""])
def test_a_horizon_that_is_none_is_no_filter(admin_client, horizon):
    page = admin_client.get("/admin/predictions/predictionlog/", {"horizon": horizon})
    assert page.status_code == 200
    assert len(page.context["cl"].result_list) == 4


def test_an_empty_list_of_the_engine_does_not_invite_to_add_rows(admin_client):
    rows.AbsentStretch.objects.all().delete()
    page = admin_client.get(address(rows.AbsentStretch, "changelist")).content.decode()
    assert "There are no absent stretches yet." in page
    assert "Create a new item" not in page
    assert address(rows.AbsentStretch, "add") not in page


def test_yes_and_no_are_words_without_a_verdict(admin_client):
    page = admin_client.get("/admin/auth/user/").content.decode()
    assert '<span class="engine-yes-no">No</span>' in page
    assert "close_small" not in page


def test_a_long_reason_is_cut_with_the_whole_text_in_its_title(admin_client):
    long = "high below low, " * 12
    rows.QuarantinedMessage.objects.update(reason=long)
    page = admin_client.get(address(rows.QuarantinedMessage, "changelist")).content.decode()
    assert f'<span class="engine-cut" title="{long}">' in page


def test_computed_prices_are_rounded_for_people(admin_client):
    rows.PredictionLog.objects.update(predicted_low="98.30294373", predicted_high="101.69705627", mae="0.123456")
    page = admin_client.get(address(rows.PredictionLog, "changelist")).content.decode()
    assert "98.3029 – 101.697" in page
    assert "0.12 %" in page


def test_no_list_names_a_total_that_was_not_counted(admin_client):
    for model in SHOWN:
        page = admin_client.get(address(model, "changelist")).content.decode()
        assert "results (" not in page, model
        assert "Show all" not in page, model


def test_page_of_one_row_has_rounded_numbers_and_dates(admin_client):
    prediction = rows.PredictionLog.objects.filter(horizon=6).first()
    page = admin_client.get(address(rows.PredictionLog, "change", prediction.pk)).content.decode()
    assert '<span title="100.97979590">100.98</span>' in page
    candle = rows.Candle.objects.first()
    page = admin_client.get(address(rows.Candle, "change", candle.pk)).content.decode()
    assert f'<span title="{candle.open_time}">2024-12-31 22:00 UTC</span>' in page
    assert f'<span title="{candle.close:.8f}">100</span>' in page
