"""Stage and verdict of a version follow the promotion log."""

import pytest

from modelregistry.models import ModelVersion, PromotionEvent
from modelregistry.registry.version_state import LOG, Gate, state_of
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
Stage = ModelVersion.Stage


def log(action, to, before=None, **fields):
    return PromotionEvent.objects.create(
        kind=to.kind, source=to.source, action=action, from_version=before, to_version=to, actor="ada", reason="because",
        gate_accepted=fields.pop("accepted", False), gate_reasons=["horizon 6: not sure"], **fields,
    )  # fmt: skip


def stage(version, name):
    version.stage = name
    version.save()
    return version


def test_champion_by_override_is_overridden_even_after_its_verdict_was_renewed():
    first, second = (
        rows.version(stage=Stage.RETIRED, seed=1),
        rows.version(stage=Stage.CHAMPION, seed=2, accepted=False),
    )
    log("promote", second, first, override=True)
    assert state_of(second).gate == Gate.OVERRIDDEN
    assert "override" in state_of(second).sentence
    assert state_of(second).reasons == ["horizon 6: not sure"]
    # The same training again finds the same bytes and renews the verdict of the row.
    ModelVersion.objects.filter(pk=second.pk).update(gate_accepted=True, gate_reasons=[])
    second.refresh_from_db()
    assert state_of(second).gate == Gate.OVERRIDDEN
    assert "accepted" not in state_of(second).sentence


def test_bootstrap_without_acceptance_is_unproven_and_with_it_accepted():
    refused = rows.version(stage=Stage.CHAMPION, accepted=False, unproven=True)
    log("bootstrap", refused)
    assert state_of(refused).gate == Gate.UNPROVEN
    accepted = rows.version("tpsl_classifier", stage=Stage.CHAMPION)
    log("bootstrap", accepted, accepted=True)
    assert state_of(accepted).gate == Gate.ACCEPTED


def test_unproven_champion_that_was_replaced_stays_unproven():
    old = rows.version(stage=Stage.RETIRED, seed=1, accepted=False)
    log("bootstrap", old)
    new = rows.version(stage=Stage.CHAMPION, seed=2)
    log("promote", new, old, accepted=True)
    assert (state_of(old).stage_words, state_of(old).gate) == ("retired", Gate.UNPROVEN)
    assert (state_of(new).stage_words, state_of(new).gate) == ("champion", Gate.ACCEPTED)


def test_rollback_says_so_on_both_versions_and_keeps_how_they_were_promoted():
    old = rows.version(stage=Stage.RETIRED, seed=1, accepted=False)
    new = rows.version(stage=Stage.CHAMPION, seed=2)
    log("promote", old, override=True)
    promotion = log("promote", new, old, accepted=True)
    log("rollback", old, new, undoes=promotion)
    new, old = stage(new, Stage.RETIRED), stage(old, Stage.CHAMPION)
    assert state_of(old).sentence.startswith("champion again after a rollback")
    assert state_of(old).gate == Gate.OVERRIDDEN
    assert state_of(new).stage_words == "rolled back"
    assert state_of(new).gate == Gate.ACCEPTED


@pytest.mark.parametrize(("accepted", "gate"), [(True, Gate.ACCEPTED), (False, Gate.REFUSED)])
def test_candidate_has_the_verdict_of_its_training(accepted, gate):
    candidate = rows.version(accepted=accepted)
    state = state_of(candidate)
    assert (state.stage_words, state.gate) == ("candidate", gate)
    assert bool(state.reasons) is not accepted


def test_states_of_a_list_need_two_queries_more(django_assert_num_queries):
    for seed in range(5):
        log("promote", rows.version(stage=Stage.RETIRED, seed=seed), accepted=True)
    # Retired ones show the verdict of their promotion too.
    with django_assert_num_queries(3):
        assert len([state_of(version) for version in ModelVersion.objects.prefetch_related(*LOG)]) == 5
