"""Promotion and rollback in the admin: permission, evidence and a logged reason."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from modelregistry.models import ModelVersion, PromotionEvent
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"


@pytest.fixture(scope="module")
def artifact_folder(tmp_path_factory):
    """One folder for all tests: each artifact is verified once."""
    return tmp_path_factory.mktemp("pages") / "models"


@pytest.fixture(autouse=True)
def model_folder(artifact_folder, settings):
    settings.MODEL_PATH = artifact_folder
    champions.unload_estimators()
    yield artifact_folder
    champions.unload_estimators()


@pytest.fixture
def operator(client, django_user_model, settings):
    """Staff who may look at versions; `may_promote` adds the permission."""
    settings.ALLOWED_HOSTS = ["testserver"]
    person = django_user_model.objects.create_user("olga", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_modelversion"))
    client.force_login(person)
    client.person = person
    return client


@pytest.fixture
def may_promote(operator):
    operator.person.user_permissions.add(Permission.objects.get(codename="promote_modelversion"))
    return operator


@pytest.fixture
def champion():
    return champions.bootstrap_all()[KIND]


def challenger(accepted=True, skill=0.04, seed=1):
    version = champions.candidate(KIND, seed=seed, accepted=accepted)
    ModelVersion.objects.filter(pk=version.pk).update(
        report={
            "skill": skill,
            "versus_champion": {"evidence": "later candles", "days": 40, "gain": 1.25, "error": 0.5, "lower": 0.27},
        },
        gate_reasons=[] if accepted else ["horizon 72: not significantly above 0"],
    )
    return version


def page(version, step):
    return reverse(f"admin:modelregistry_modelversion_{step}", args=[version.pk])


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def current_champion():
    return ModelVersion.objects.get(kind=KIND, stage="champion").pk


def test_the_page_shows_the_difference_the_verdict_and_changes_nothing(may_promote, champion):
    ModelVersion.objects.filter(pk=champion.pk).update(report={"skill": 0.01})
    version = challenger()
    shown = text_of(may_promote.get(page(version, "promote")))
    assert "skill 0.04 0.01 +0.03" in shown
    assert "1.25 % better" in shown
    assert "accepted" in shown
    assert current_champion() == champion.pk


def test_a_reason_is_required(may_promote, champion):
    version = challenger()
    for reason in ("", "   "):
        answer = may_promote.post(page(version, "promote"), {"reason": reason})
        assert "This field is required." in text_of(answer)
    assert current_champion() == champion.pk


def test_promotion_changes_the_champion_and_is_logged(may_promote, champion):
    version = challenger()
    done = may_promote.post(page(version, "promote"), {"reason": "Better at every horizon."})
    assert done.status_code == 302
    assert current_champion() == version.pk
    event = PromotionEvent.objects.first()
    assert (event.actor, event.reason, event.from_version_id, event.override) == (
        "olga",
        "Better at every horizon.",
        champion.pk,
        False,
    )
    assert LogEntry.objects.filter(object_id=str(version.pk), user=may_promote.person).exists()


def test_a_refused_version_needs_an_explicit_override(may_promote, champion):
    version = challenger(accepted=False)
    shown = text_of(may_promote.get(page(version, "promote")))
    assert "horizon 72: not significantly above 0" in shown
    refused = may_promote.post(page(version, "promote"), {"reason": "I like it."})
    assert "promote it only with an override" in text_of(refused)
    assert current_champion() == champion.pk
    may_promote.post(page(version, "promote"), {"reason": "I like it.", "override": "on"})
    assert current_champion() == version.pk
    assert PromotionEvent.objects.first().override


def test_an_accepted_version_is_not_offered_an_override(may_promote, champion):
    assert 'name="override"' not in may_promote.get(page(challenger(), "promote")).content.decode()


@pytest.mark.parametrize("step", ["promote", "roll_back"])
def test_without_the_permission_neither_page_nor_step(operator, champion, step):
    version = challenger()
    assert operator.get(page(version, step)).status_code == 403
    assert operator.post(page(version, step), {"reason": "because"}).status_code == 403
    assert current_champion() == champion.pk
    seen = operator.get(reverse("admin:modelregistry_modelversion_change", args=[version.pk]))
    assert seen.status_code == 200
    assert page(version, step) not in seen.content.decode()


def test_rollback_restores_the_old_champion_with_a_reason(may_promote, champion):
    version = challenger()
    may_promote.post(page(version, "promote"), {"reason": "try it"})
    shown = text_of(may_promote.get(page(version, "roll_back")))
    assert f"back to {champion.digest[:12]}" in shown
    assert "by olga: try it" in shown
    assert current_champion() == version.pk
    may_promote.post(page(version, "roll_back"), {"reason": "Coverage fell."})
    assert current_champion() == champion.pk
    newest = PromotionEvent.objects.first()
    assert (newest.action, newest.reason, newest.undoes.to_version_id) == ("rollback", "Coverage fell.", version.pk)


def test_the_champion_is_not_promoted_again(may_promote, champion):
    answer = may_promote.post(page(champion, "promote"), {"reason": "again", "override": "on"}, follow=True)
    assert "is already the champion" in text_of(answer)
    assert PromotionEvent.objects.filter(kind=KIND).count() == 1


def test_the_first_champion_cannot_be_rolled_back(may_promote, champion):
    answer = may_promote.post(page(champion, "roll_back"), {"reason": "why not"}, follow=True)
    assert "the first champion replaced no version" in text_of(answer)
    assert current_champion() == champion.pk


def test_a_damaged_artifact_is_reported_and_the_champion_stays(may_promote, champion, model_folder):
    version = challenger(seed=2)  # no other test's artifact
    path = model_folder / version.kind / version.digest / "scale_6.ubj"
    path.write_bytes(path.read_bytes()[:-1])
    answer = may_promote.post(page(version, "promote"), {"reason": "go"}, follow=True)
    assert "The artifact cannot be used" in text_of(answer)
    assert current_champion() == champion.pk


def test_the_list_action_leads_to_one_confirmation(may_promote, champion):
    version = challenger()
    listing = reverse("admin:modelregistry_modelversion_changelist")
    chosen = {"action": "promote_selected", "_selected_action": [str(version.pk)]}
    assert may_promote.post(listing, chosen)["Location"] == page(version, "promote")
    both = {**chosen, "_selected_action": [str(version.pk), str(champion.pk)]}
    assert "exactly one" in text_of(may_promote.post(listing, both, follow=True))
    assert current_champion() == champion.pk
