"""Models pages: what they state, beside the API at the same moment; decisions by permission and reason."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from mlengine_project.access import services as access
from mlengine_project.console.versions.comparisons import sentence
from mlengine_project.operations.models import Job
from modelregistry import registry
from modelregistry.models import ModelVersion, PromotionEvent
from tests.mlengine_project.console import rows
from tests.mlengine_project.console.test_pages import words
from tests.mlengine_project.console.versions.test_charts import report_of
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
CELL = {"symbol": "BTCUSDT", "horizon": 6, "target": "high", "pinball": 5.25, "best_baseline": "har",
        "baselines": {"ewm": 5.75, "har": 5.5}, "skill": 0.9, "skill_error": 0.77, "effective_n": 61.0}  # fmt: skip
REPORT = {"skill": 0.009, "test_days": 10, "cells": [CELL]}


@pytest.fixture
def person(client, django_user_model):
    """A signed-in user; called with the permissions."""

    def with_permissions(*names):
        user = django_user_model.objects.create_user(f"user{django_user_model.objects.count()}")
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    return with_permissions


def overridden():
    champion = rows.version(stage="champion", accepted=False, report=REPORT)
    PromotionEvent.objects.create(
        kind=champion.kind, source=champion.source, action="promote", to_version=champion, actor="ada",
        reason="I like it", override=True, gate_reasons=champion.gate_reasons,
    )  # fmt: skip
    return champion


def test_page_begins_with_the_sentence_and_never_calls_an_override_accepted(person):
    rows.market()
    champion = overridden()
    client = person()
    expected = "Range predictor: not proven, promoted by override. +0.90 % ± 1.51 against HAR, 10 days."
    page = client.get("/console/models")
    assert expected in words(page)
    for shown in (page, client.get(f"/console/models/{champion.pk}")):
        assert "promoted by override: the gate had refused" in words(shown)
        assert "gate accepted" not in words(shown).lower()
        assert 'class="skill unsure"' in shown.content.decode()
    # The same training once more renews the row's verdict; what happened stays.
    ModelVersion.objects.update(gate_accepted=True, gate_reasons=[])
    assert "gate accepted" not in words(client.get("/console/models")).lower()
    assert expected in words(client.get("/console/models"))


def test_page_calls_proven_only_what_is_surely_better(person):
    rows.market()
    champion = rows.version(stage="champion", report={**REPORT, "skill": 0.001, "test_days": 60})
    assert "Range predictor: accepted by the gate, gain not sure. +0.10 %" in words(person().get("/console/models"))
    ModelVersion.objects.filter(pk=champion.pk).update(report={**REPORT, "skill": 0.05, "test_days": 60})
    assert "Range predictor: proven. +5.00 %" in words(person().get("/console/models"))


def test_market_page_states_an_override_as_such(person):
    of = rows.market()
    rows.candles(of)
    overridden()
    for path in ("/market/BTCUSDT", "/console/panels/BTCUSDT"):
        shown = words(person().get(path))
        assert "promoted by override: the gate had refused" in shown
        assert "gate accepted" not in shown.lower()


def test_skill_of_the_page_is_that_of_the_api(person, client, settings):
    rows.market()
    champion = rows.version(stage="champion", report=REPORT)
    _, secret = access.create_key("tests", "read")
    answer = client.get(f"/models/{champion.pk}", headers={"X-API-Key": secret}).json()
    skill = 100 * answer["report"]["skill"]
    half = 196 * answer["report"]["cells"][0]["skill_error"]
    days = answer["report"]["test_days"]
    assert f"{skill:+.2f} % ± {half:.2f} against HAR, {days} days" in words(person().get("/console/models"))


def test_page_without_models_says_what_will_be_here(person):
    rows.market()
    shown = words(person().get("/console/models"))
    assert "Range predictor: no active version." in shown
    assert "Nothing has been trained yet" in shown


def test_charts_are_the_numbers_of_the_report(person):
    version = rows.version(report=report_of("range_predictor"))
    charts = person().get(f"/console/models/{version.pk}/charts").json()["charts"]
    skill = next(chart for chart in charts if chart["title"] == "Skill")
    assert skill["panels"][0]["series"][0]["values"][0] == pytest.approx(version.report["cells"][0]["skill"])
    page = person().get(f"/console/models/{version.pk}").content.decode()
    assert f"/console/models/{version.pk}/charts" in page
    assert "<svg" not in page.split("<main")[1]


def test_two_versions_are_compared_and_only_two_of_one_kind(person):
    client = person()
    first, second = rows.version(seed=1), rows.version(seed=2, accepted=False, report={**rows.REPORT, "skill": 0.01})
    other = rows.version("tpsl_classifier")
    page = client.get("/console/models/compare", {"version": [first.pk, second.pk]})
    assert page.status_code == 200
    assert first.digest[:12] in words(page)
    assert second.digest[:12] in words(page)
    assert "0.031 0.01 +0.021" in words(page)
    for chosen in ([first.pk], [first.pk, other.pk], [first.pk, "x"], [first.pk, first.pk]):
        assert client.get("/console/models/compare", {"version": chosen}).status_code == 400
    assert client.get("/console/models/compare/charts", {"version": [first.pk, second.pk]}).status_code == 200


def test_a_kept_comparison_has_a_page_that_both_versions_lead_to(person):
    client = person()
    first, second = rows.version(seed=1), rows.version(seed=2)
    kept = rows.comparison(first, second)
    address = f"/console/models/comparisons/{kept.pk}"
    for page in (f"/console/models/{first.pk}", f"/console/models/{second.pk}",
                 f"/console/models/compare?version={second.pk}&version={first.pk}"):  # fmt: skip
        assert f'href="{address}"' in client.get(page).content.decode()
    page = client.get(address)
    text = words(page)
    found = kept.result
    sentence = f"No sure difference between {first.digest[:12]} and {second.digest[:12]}: the first loses"
    assert text.index(sentence) < text.index("Candles scored")
    assert f"Diebold-Mariano p = {found['p_value']:.3f}, 40 days)." in text
    content = page.content.decode()
    better, *_, worse = found["cells"]
    for cell, tone, sign in ((better, "better", "+"), (worse, "worse", "−")):
        assert f'<span class="skill {tone}">{sign}{abs(100 * cell["gain"]):.2f} %</span>' in content
        assert f"{100 * cell['lower']:+.2f} % to {100 * cell['upper']:+.2f} %".replace("-", "−") in text
        assert f"{cell['effective_n']:,.0f} {cell['rows']:,}" in text
    assert text.count("all markets") == len(found["horizons"]) == 4
    for version in (first, second):
        assert f'href="/console/models/{version.pk}"' in content
    assert client.get("/console/models/comparisons/999").status_code == 404


def test_the_sentence_of_a_comparison_says_what_is_sure():
    kept = rows.comparison(rows.version(seed=1), rows.version(seed=2))
    for gain, words_of in ((0.02, "is surely better than"), (-0.02, "is surely worse than")):
        kept.result |= {"gain": gain, "lower": gain - 0.01, "upper": gain + 0.01}
        assert words_of in sentence(kept)
        assert f"it loses 2.00 % {'less' if gain > 0 else 'more'}" in sentence(kept)


def test_a_version_without_a_comparison_names_the_command(person):
    assert "manage.py compare_models" in words(person().get(f"/console/models/{rows.version().pk}"))


def test_a_refresh_is_shown_as_such_and_never_as_better(person):
    rows.market()
    champion = rows.version(stage="champion", seed=1, report=REPORT)
    PromotionEvent.objects.create(kind=champion.kind, source=champion.source, action="bootstrap", to_version=champion,
                                  actor="ada", reason="first", gate_accepted=True)  # fmt: skip
    refresh = rows.version(seed=2, accepted=False, report=rows.refresh_report(REPORT), refresh_of=champion)
    client = person("promote_modelversion")
    page = words(client.get(f"/console/models/{refresh.pk}"))
    assert "refresh: same recipe, newer candles" in page
    assert "its loss changes by 0.12 %, surely by at most 0.31 %; the margin is 0.50 %." in page
    sheet = client.get(reverse("console:promote", args=[refresh.pk]))
    assert "better than the champion" not in words(sheet)
    assert "Override the gate" not in words(sheet)

    ModelVersion.objects.filter(pk=champion.pk).update(stage="retired")
    ModelVersion.objects.filter(pk=refresh.pk).update(stage="champion")
    PromotionEvent.objects.create(kind=champion.kind, source=champion.source, action="refresh", from_version=champion,
                                  to_version=refresh, actor="schedule", reason="refresh: the recipe")  # fmt: skip
    page = words(client.get("/console/models"))
    assert "Range predictor: refreshed on newer candles. +0.90 % ± 1.51 against HAR, 10 days." in page
    assert "proven" not in page
    assert "Refresh" in page
    ModelVersion.objects.filter(pk=refresh.pk).update(unproven=True)
    assert "Range predictor: not proven, refreshed on newer candles." in words(client.get("/console/models"))


def test_a_version_that_is_no_refresh_says_why(person):
    version = rows.version(accepted=False, report=rows.refresh_report(REPORT, accepted=False))
    page = words(person().get(f"/console/models/{version.pk}"))
    assert "It is no refresh of the champion: Not enough candles since the training of the champion: 12 of 30" in page


def test_admin_leads_to_the_page_of_the_console(admin_client):
    version = rows.version()
    sent = admin_client.get(reverse("admin:modelregistry_modelversion_report", args=[version.pk]))
    assert sent.status_code == 302
    assert sent["Location"] == f"/console/models/{version.pk}"
    assert words(admin_client.get(sent["Location"]))
    assert admin_client.get(reverse("admin:modelregistry_modelversion_report_json", args=[version.pk])).json()["trials"]


PATHS = {
    "promote_modelversion": ["/console/models/{version}/promote", "/console/models/roll-back/range_predictor"],
    "add_job": ["/console/models/train"],
    "change_job": ["/console/jobs/{job}/cancel"],
}


@pytest.mark.parametrize("permission", PATHS)
def test_decisions_need_their_permission_and_are_not_offered_without(person, permission):
    rows.market()
    first, candidate = rows.version(stage="champion", seed=1), rows.version(seed=2)
    PromotionEvent.objects.create(kind=first.kind, source=first.source, action="promote", from_version=candidate,
                                  to_version=first, actor="ada", reason="first")  # fmt: skip
    job = Job.objects.create(kind="training", state="running")
    paths = [path.format(version=candidate.pk, job=job.pk) for path in PATHS[permission]]
    others = [name for name in PATHS if name != permission]
    client = person(*others)
    page = client.get("/console/models").content.decode()
    for path in paths:
        assert client.get(path).status_code == 403
        assert client.post(path, {"reason": "because"}).status_code == 403
        assert path not in page
    job.refresh_from_db()
    assert not job.cancel_requested
    client = person(permission)
    page = client.get("/console/models").content.decode()
    for path in paths:
        assert client.get(path).status_code == 200
        assert path in page


def test_promotion_shows_what_changes_wants_a_reason_and_an_override_and_can_be_rolled_back(person):
    rows.market(source="exchange")
    client = person("promote_modelversion")
    champion = champions.candidate("range_predictor", seed=1)
    registry.bootstrap(champion, "tests", "first")
    refused = champions.candidate("range_predictor", seed=2, accepted=False)
    path = f"/console/models/{refused.pk}/promote"
    sheet = client.get(path, headers={"X-Sheet": "1"}).content.decode()
    assert "<html" not in sheet
    assert champion.digest[:12] in sheet
    assert client.post(path, {}).status_code == 400
    assert "only with an override" in words(client.post(path, {"reason": "I like it"}))
    assert registry.champions(champion.source)["range_predictor"].pk == champion.pk
    done = client.post(path, {"reason": "I like it", "override": "on"}, follow=True)
    assert "is champion now" in words(done)
    assert "promoted by override" in words(done)
    assert registry.champions(champion.source)["range_predictor"].pk == refused.pk
    back = client.post("/console/models/roll-back/range_predictor", {"reason": "I was wrong"}, follow=True)
    assert f"Range predictor is back at {champion.digest[:12]}." in words(back)
    assert "champion again after a rollback" in words(back)
    assert "rolled back" in words(back)
    assert PromotionEvent.objects.first().reason == "I was wrong"


def test_training_is_started_and_cancelled_with_a_reason(person):
    rows.market()
    client = person("add_job", "change_job")
    assert client.post("/console/models/train", {"kinds": ["range_predictor"]}).status_code == 400
    started = client.post(
        "/console/models/train", {"kinds": ["range_predictor"], "small": "on", "reason": "new data"}, follow=True
    )
    job = Job.objects.get()
    assert job.arguments == {"kinds": ["range_predictor"], "small": True}
    assert "Training requested" in words(started)
    assert f"/console/jobs/{job.pk}/cancel" in started.content.decode()
    assert "being stopped" in words(client.post(f"/console/jobs/{job.pk}/cancel", {"reason": "a mistake"}, follow=True))
    job.refresh_from_db()
    assert job.state == "cancelled"
    again = client.post(f"/console/jobs/{job.pk}/cancel", {"reason": "a mistake"})
    assert again.status_code == 409
    assert "already ended" in words(again)
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == ["new data", "a mistake"]
