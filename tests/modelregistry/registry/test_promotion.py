"""The registry: one champion at a time, and a log of champions over time."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from modelregistry import registry
from modelregistry.errors import ArtifactWriteError, ModelLoadError, PromotionRefused
from modelregistry.models import ModelVersion, PromotionEvent
from modelregistry.registry import serving
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"


def stages():
    return {version.seed: str(version.stage) for version in ModelVersion.objects.filter(kind=KIND)}


def one_champion():
    return ModelVersion.objects.get(kind=KIND, source="exchange", stage="champion").seed


def test_a_candidate_is_registered_only_with_a_verified_artifact(model_folder):
    version = champions.candidate()
    assert version.stage == "candidate"
    again = champions.candidate(accepted=False)
    assert again.pk == version.pk
    assert not again.gate_accepted
    champions.damage(model_folder, version)
    with pytest.raises(ModelLoadError):
        registry.register(kind=KIND, source="exchange", digest=version.digest)
    assert ModelVersion.objects.count() == 1


def test_no_space_registers_nothing(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modelregistry.artifacts.writing._write_through", full)
    with pytest.raises(ArtifactWriteError):
        champions.candidate()
    assert not ModelVersion.objects.exists()


def test_promote_retires_promotes_and_logs():
    first, second = champions.candidate(seed=1), champions.candidate(seed=2)
    registry.promote(first, "ada", "first")
    event = registry.promote(second, "ada", "it is better")
    assert stages() == {1: "retired", 2: "champion"}
    assert (event.from_version, event.to_version, event.actor, event.reason) == (first, second, "ada", "it is better")
    assert event.gate_accepted
    assert not event.override
    assert registry.champions("exchange") == {KIND: second}
    assert registry.champions("simulated") == {}


def test_the_gate_refuses_and_an_override_is_logged():
    version = champions.candidate(accepted=False)
    with pytest.raises(PromotionRefused) as refused:
        registry.promote(version, "ada", "please")
    assert refused.value.reasons == ["it does not beat EWM"]
    with pytest.raises(PromotionRefused, match="a reason is required"):
        registry.promote(version, "ada", "  ", override=True)
    assert stages() == {0: "candidate"}
    event = registry.promote(version, "ada", "a drill", override=True)
    assert event.override
    assert event.gate_reasons == ["it does not beat EWM"]


def test_the_champion_cannot_be_promoted_again():
    version = champions.candidate()
    registry.promote(version, "ada", "first")
    with pytest.raises(PromotionRefused, match="already"):
        registry.promote(version, "ada", "again")
    assert PromotionEvent.objects.count() == 1


def test_bootstrap_promotes_only_the_first_as_unproven():
    version = champions.candidate(accepted=False)
    assert registry.bootstrap(version, "training", "no champion yet").action == "bootstrap"
    version.refresh_from_db()
    assert version.stage == "champion"
    assert version.unproven
    assert registry.bootstrap(champions.candidate(seed=1), "training", "no champion yet") is None
    assert one_champion() == 0


def test_rollbacks_go_back_one_promotion_at_a_time_and_stop_at_the_bootstrap():
    versions = [champions.candidate(seed=seed) for seed in range(4)]
    registry.bootstrap(versions[0], "training", "first")
    promotions = [registry.promote(version, "ada", "better") for version in versions[1:3]]
    assert registry.rollback(KIND, "exchange", "ada", "it drifts").undoes == promotions[1]
    assert one_champion() == 1
    registry.promote(versions[3], "ada", "another")
    registry.rollback(KIND, "exchange", "ada", "no good either")
    assert one_champion() == 1
    assert registry.rollback(KIND, "exchange", "ada", "nor that").undoes == promotions[0]
    assert one_champion() == 0
    with pytest.raises(PromotionRefused, match="nothing to go back to"):
        registry.rollback(KIND, "exchange", "ada", "nor that")
    assert one_champion() == 0
    registry.promote(versions[2], "ada", "once more")
    registry.rollback(KIND, "exchange", "ada", "and back")
    assert one_champion() == 0


def test_rollback_without_any_promotion_is_refused():
    champions.candidate()
    with pytest.raises(PromotionRefused, match="is left to undo"):
        registry.rollback(KIND, "exchange", "ada", "why not")


def test_a_damaged_version_is_neither_promoted_nor_rolled_back_to(model_folder):
    first, second, third = (champions.candidate(seed=seed) for seed in range(3))
    registry.promote(first, "ada", "first")
    registry.promote(second, "ada", "second")
    champions.damage(model_folder, first)
    champions.damage(model_folder, third)
    with pytest.raises(ModelLoadError):
        registry.promote(third, "ada", "third")
    with pytest.raises(ModelLoadError):
        registry.rollback(KIND, "exchange", "ada", "back")
    assert one_champion() == 1
    assert PromotionEvent.objects.count() == 2


@pytest.mark.parametrize("step", ["retire", "crown", "log"])
def test_a_crash_at_any_step_of_a_promotion_changes_nothing(monkeypatch, step):
    first, second = champions.candidate(seed=0), champions.candidate(seed=1)
    registry.promote(first, "ada", "first")
    save, seen = ModelVersion.save, []

    def crash(self, *args, **kwargs):
        seen.append(self)
        if len(seen) == {"retire": 1, "crown": 2}[step]:
            raise RuntimeError("killed")
        return save(self, *args, **kwargs)

    if step == "log":
        monkeypatch.setattr(PromotionEvent, "save", lambda *_, **__: 1 / 0)
    else:
        monkeypatch.setattr(ModelVersion, "save", crash)
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        registry.promote(second, "ada", "second")
    assert stages() == {0: "champion", 1: "candidate"}
    assert PromotionEvent.objects.count() == 1


def test_the_database_itself_refuses_a_second_champion():
    registry.promote(champions.candidate(seed=0), "ada", "first")
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(pk=champions.candidate(seed=1).pk).update(stage="champion")


def test_the_log_cannot_be_edited_or_deleted():
    event = registry.promote(champions.candidate(), "ada", "first")
    event.reason = "another story"
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        event.delete()


def test_champions_at_returns_the_champions_of_that_time():
    first, second = champions.candidate(seed=0), champions.candidate(seed=1)
    moments = [registry.promote(version, "ada", "next").at for version in (first, second)]
    moments.append(registry.rollback(KIND, "exchange", "ada", "back").at)
    instant = timedelta(microseconds=1)
    assert registry.champions_at(moments[0] - instant, "exchange") == {}
    assert registry.champions_at(moments[0], "exchange") == {KIND: first}
    assert registry.champions_at(moments[1], "exchange") == {KIND: second}
    assert registry.champions_at(moments[2] + instant, "exchange") == {KIND: first}
    assert registry.champions_at(moments[2], "simulated") == {}


# --- the ensemble in memory -----------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_fifty_concurrent_promotions_leave_one_champion_and_an_unbroken_chain():
    versions = [champions.candidate(seed=seed) for seed in range(4)]
    registry.bootstrap(versions[0], "tests", "first")
    start = threading.Barrier(10)
    seen = []

    def act(turn):
        if turn < 10:
            start.wait()
        try:
            if turn % 5 == 4:
                registry.rollback(KIND, "exchange", f"actor {turn}", "race")
            else:
                registry.promote(versions[turn % 4], f"actor {turn}", "race")
        except PromotionRefused as refused:
            return str(refused)
        finally:
            seen.append(ModelVersion.objects.filter(kind=KIND, stage="champion").count())
            connection.close()
        return ""

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(act, range(50)))
    assert set(seen) == {1}
    events = list(PromotionEvent.objects.order_by("id"))
    assert len(events) == 1 + outcomes.count("")
    for before, after in itertools.pairwise(events):
        assert after.from_version_id == before.to_version_id
    assert ModelVersion.objects.get(kind=KIND, stage="champion").pk == events[-1].to_version_id


def test_a_champion_is_loaded_while_the_old_one_serves(monkeypatch):
    champions.bootstrap_all()
    other = champions.candidate(KIND, seed=1)
    before = registry.load_ensemble("exchange")
    loading, go_on = threading.Event(), threading.Event()
    honest = serving._refresh

    def slow(source, held):
        loading.set()
        assert go_on.wait(20)
        honest(source, held)

    monkeypatch.setattr(serving, "_refresh", slow)
    ModelVersion.objects.filter(kind=KIND, stage="champion").update(stage="retired")
    ModelVersion.objects.filter(pk=other.pk).update(stage="champion")
    serving.recheck_champions()
    answers = []

    def ask():
        assert loading.wait(20)
        answers.append(registry.load_ensemble("exchange"))
        answers.append(registry.load_ensemble("exchange", wait_seconds=0.01))
        go_on.set()
        answers.append(registry.load_ensemble("exchange", wait_seconds=20))

    asking = threading.Thread(target=ask)
    asking.start()
    registry.load_ensemble("exchange")
    asking.join(20)
    assert answers[:2] == [before, before]
    assert answers[2].versions[KIND] == str(other.pk)
