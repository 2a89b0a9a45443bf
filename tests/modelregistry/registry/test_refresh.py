"""Promotion of refreshes: without an override, logged as such, and never over a rollback by a person."""

import pytest

from modelregistry import registry
from modelregistry.errors import PromotionRefused
from modelregistry.models import ModelVersion, PromotionEvent
from modelregistry.registry.version_state import LOG, Gate, state_of
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"
REPORT = {
    "versus_champion": {"days": 41, "increase": 0.12, "increase_upper": 0.31},
    "refresh": {"accepted": True, "reasons": [], "margin": 0.5},
}


def refresh_of(champion, seed=2, accepted=False):
    version = champions.candidate(seed=seed, accepted=accepted)
    ModelVersion.objects.filter(pk=version.pk).update(refresh_of=champion, report=REPORT)
    version.refresh_from_db()
    return version


@pytest.fixture
def champion():
    version = champions.candidate(seed=1)
    registry.bootstrap(version, "tests", "first")
    return version


def active():
    return ModelVersion.objects.get(kind=KIND, stage="champion")


def test_a_refresh_needs_no_override_and_is_logged_as_such(champion):
    version = refresh_of(champion)
    assert not registry.needs_override(version, champion)
    assert state_of(version).gate == Gate.REFRESH
    event = registry.promote(version, "olga", "before it expires")
    assert (event.action, event.override, event.gate_accepted) == ("refresh", False, False)
    assert event.gate_reasons == ["it does not beat EWM"], "what the gate said is kept"
    assert active() == version
    state = state_of(active())
    assert (state.gate, state.reasons, state.tone) == (Gate.REFRESH, [], "")
    assert "better" not in state.sentence
    assert "accepted" not in state.sentence


def test_it_is_a_refresh_of_that_champion_alone(champion):
    version, other = refresh_of(champion), champions.candidate(seed=3)
    registry.promote(other, "olga", "better")
    version = ModelVersion.objects.prefetch_related(*LOG).get(pk=version.pk)
    assert state_of(version).gate == Gate.REFUSED
    with pytest.raises(PromotionRefused, match="a refresh of another champion"):
        registry.promote(version, "olga", "why not")
    assert registry.promote(version, "olga", "a drill", override=True).override
    assert state_of(ModelVersion.objects.get(pk=version.pk)).gate == Gate.OVERRIDDEN


def test_what_the_gate_accepts_is_a_promotion(champion):
    assert registry.promote(refresh_of(champion, accepted=True), "olga", "better").action == "promote"


def test_a_refresh_of_an_unproven_champion_is_unproven():
    first = champions.candidate(seed=1, accepted=False)
    registry.bootstrap(first, "tests", "first")
    registry.promote(refresh_of(first), "olga", "before it expires")
    assert active().unproven


def test_a_refresh_is_rolled_back_like_a_promotion(champion):
    registry.promote(refresh_of(champion), "olga", "before it expires")
    registry.rollback(KIND, "exchange", "olga", "it drifts")
    assert active() == champion


def test_refreshes_are_promoted_with_figures_as_reason(champion):
    version, plain = refresh_of(champion), champions.candidate("signal_classifier", accepted=False)
    (event,) = registry.refresh_champions([version, plain], "schedule")
    assert (event.action, event.actor, event.to_version) == ("refresh", "schedule", version)
    assert event.reason == (
        "refresh: the recipe of the champion on candles until 2025-01-01 00:00; on 41 days its loss changes by +0.12 %, "
        "surely by at most +0.31 % (REFRESH_MARGIN 0.5 %)"
    )
    assert registry.refresh_champions([version], "schedule") == [], "repeated it does nothing"
    assert active() == version


def test_a_rollback_stands_until_a_person_promotes(champion):
    first = refresh_of(champion)
    registry.promote(first, "schedule", "refresh")
    registry.rollback(KIND, "exchange", "olga", "it drifts")
    again = refresh_of(champion, seed=4)
    assert registry.refresh_champions([again], "schedule") == []
    assert active() == champion
    registry.promote(again, "olga", "looked at")
    newer = refresh_of(again, seed=5)
    assert len(registry.refresh_champions([newer], "schedule")) == 1


def test_a_damaged_refresh_changes_nothing(champion, settings):
    version = refresh_of(champion)
    champions.damage(settings.MODEL_PATH, version)
    champions.unload_estimators()
    assert registry.refresh_champions([version], "schedule") == []
    assert active() == champion
    assert PromotionEvent.objects.count() == 1
