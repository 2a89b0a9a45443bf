"""The registry: one champion at a time, a log that tells who answered when, and an ensemble that follows."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from marketdata import clock
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


def damage(model_folder, version):
    path = model_folder / version.kind / version.digest / "scale_6.ubj"
    torn = bytearray(path.read_bytes())
    torn[len(torn) // 2] ^= 1
    path.write_bytes(torn)
    return path


def test_a_candidate_is_registered_only_with_an_artifact_that_proves_itself(model_folder):
    version = champions.candidate()
    assert version.stage == "candidate"
    again = champions.candidate(accepted=False)
    assert again.pk == version.pk
    assert not again.gate_accepted
    damage(model_folder, version)
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


def test_promote_retires_crowns_and_logs():
    first, second = champions.candidate(seed=1), champions.candidate(seed=2)
    registry.promote(first, "ada", "first")
    event = registry.promote(second, "ada", "it is better")
    assert stages() == {1: "retired", 2: "champion"}
    assert (event.from_version, event.to_version, event.actor, event.reason) == (first, second, "ada", "it is better")
    assert event.gate_accepted
    assert not event.override
    assert registry.champions("exchange") == {KIND: second}
    assert registry.champions("simulated") == {}


def test_the_gate_refuses_and_an_override_is_written_down():
    version = champions.candidate(accepted=False)
    with pytest.raises(PromotionRefused) as refused:
        registry.promote(version, "ada", "please")
    assert refused.value.reasons == ["it does not beat EWM"]
    with pytest.raises(PromotionRefused, match="a reason must be written"):
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


def test_bootstrap_crowns_the_first_unproven_and_nobody_after():
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
    damage(model_folder, first)
    damage(model_folder, third)
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


def test_champions_at_tells_who_answered_then():
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


def test_without_champions_there_is_no_ensemble():
    assert registry.load_ensemble("exchange") is None
    assert registry.loaded_versions() == {}
    assert registry.load_failures() == []


def test_champions_are_asked_for_once_a_second_by_one_query(django_assert_num_queries):
    crowned = champions.crown_all()
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        registry.forget()
        ensemble = registry.load_ensemble("exchange")
        assert ensemble.versions == {kind: str(version.pk) for kind, version in crowned.items()}
        assert ensemble.symbols[KIND] == ["BTCUSDT", "ETHUSDT"]
        assert registry.load_ensemble("simulated") is None
        with django_assert_num_queries(0):
            assert registry.load_ensemble("exchange") is ensemble
        frozen.advance(1.01)
        with django_assert_num_queries(1):
            assert registry.load_ensemble("exchange") is ensemble
    assert registry.loaded_versions() == {"exchange": {k: str(v.pk) for k, v in sorted(crowned.items())}}


def test_a_promotion_elsewhere_is_followed_within_a_second():
    champions.crown_all()
    other = champions.candidate(KIND, seed=1)
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        before = registry.load_ensemble("exchange")
        ModelVersion.objects.filter(kind=KIND, stage="champion").update(stage="retired")
        ModelVersion.objects.filter(pk=other.pk).update(stage="champion")
        assert registry.load_ensemble("exchange") is before
        frozen.advance(1.01)
        after = registry.load_ensemble("exchange")
    assert after.versions[KIND] == str(other.pk)
    assert after.digest != before.digest
    assert after.tpsl is before.tpsl


def test_a_promotion_here_is_followed_at_once(django_capture_on_commit_callbacks):
    champions.crown_all()
    other = champions.candidate(KIND, seed=1)
    registry.load_ensemble("exchange")
    with django_capture_on_commit_callbacks(execute=True):
        registry.promote(other, "ada", "better")
    assert registry.load_ensemble("exchange").versions[KIND] == str(other.pk)


def test_a_damaged_champion_never_replaces_what_is_loaded(model_folder):
    champions.crown_all()
    other = champions.candidate(KIND, seed=1)
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        before = registry.load_ensemble("exchange")
        path = damage(model_folder, other)
        ModelVersion.objects.filter(kind=KIND, stage="champion").update(stage="retired")
        ModelVersion.objects.filter(pk=other.pk).update(stage="champion")
        frozen.advance(1.01)
        kept = registry.load_ensemble("exchange")
        assert kept.range_predictor is before.range_predictor
        assert kept.versions == before.versions
        (failure,) = registry.load_failures()
        assert (failure.kind, failure.version_id) == (KIND, str(other.pk))
        assert "scale_6.ubj was changed" in failure.message
        frozen.advance(1.01)
        registry.load_ensemble("exchange")
        assert registry.load_failures() == [failure]

        path.unlink()
        champions.write(KIND, seed=1)  # the same training writes the same bytes: the artifact is whole again
        frozen.advance(serving.RETRY_SECONDS + 1)
        assert registry.load_ensemble("exchange").versions[KIND] == str(other.pk)
        assert registry.load_failures() == []


def test_a_new_process_with_a_damaged_champion_serves_the_other_kinds(model_folder):
    crowned = champions.crown_all()
    damage(model_folder, crowned[KIND])
    registry.forget()
    ensemble = registry.load_ensemble("exchange")
    assert ensemble.range_predictor is None
    assert set(ensemble.versions) == {"tpsl_classifier", "signal_classifier"}
    assert [failure.kind for failure in registry.load_failures()] == [KIND]


def test_load_version_loads_any_version_and_refuses_a_damaged_one(model_folder):
    version = champions.candidate()
    estimator = registry.load_version(version)
    assert estimator.horizons == champions.HORIZONS
    assert registry.load_version(version) is estimator
    damage(model_folder, version)
    with pytest.raises(ModelLoadError):
        registry.load_version(version)


@pytest.mark.django_db(transaction=True)
def test_many_threads_share_one_ensemble():
    champions.crown_all()
    registry.forget()

    def ask(_):
        try:
            return registry.load_ensemble("exchange")
        finally:
            connection.close()

    with clock.use(clock.FrozenClock(1_700_000_000_000)), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(64)))
    assert found[0] is not None
    assert len({id(ensemble) for ensemble in found}) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_fifty_promotes_at_once_leave_one_champion_and_an_unbroken_chain():
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


def test_a_champion_is_loaded_ahead_while_the_old_one_answers(monkeypatch):
    champions.crown_all()
    other = champions.candidate(KIND, seed=1)
    before = registry.load_ensemble("exchange")
    loading, go_on = threading.Event(), threading.Event()
    honest = serving._follow

    def slow(source, held):
        loading.set()
        assert go_on.wait(20)
        honest(source, held)

    monkeypatch.setattr(serving, "_follow", slow)
    ModelVersion.objects.filter(kind=KIND, stage="champion").update(stage="retired")
    ModelVersion.objects.filter(pk=other.pk).update(stage="champion")
    serving.look_again()
    answers = []

    def ask():
        assert loading.wait(20)
        answers.append(registry.load_ensemble("exchange"))
        answers.append(registry.load_ensemble("exchange", wait_seconds=0.01))
        go_on.set()
        answers.append(registry.load_ensemble("exchange", wait_seconds=20))

    asking = threading.Thread(target=ask)
    asking.start()
    registry.follow()
    asking.join(20)
    assert answers[:2] == [before, before]
    assert answers[2].versions[KIND] == str(other.pk)
