"""Loaded champions follow the registry; a damaged one never replaces a loaded one."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from marketdata import clock
from marketdata.process_state import process_state
from modelregistry import registry
from modelregistry.artifacts.verification import Verdicts
from modelregistry.errors import ModelLoadError
from modelregistry.models import ModelVersion
from modelregistry.registry import serving
from modelregistry.registry.serving import LoadedVersions
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"


def test_without_champions_there_is_no_ensemble():
    assert registry.load_ensemble("exchange") is None
    assert registry.loaded_versions() == {}
    assert registry.load_failures() == []


def test_champions_are_queried_once_a_second(django_assert_num_queries):
    bootstrapped = champions.bootstrap_all()
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        process_state.drop(LoadedVersions, Verdicts)
        ensemble = registry.load_ensemble("exchange")
        assert ensemble.versions == {kind: str(version.pk) for kind, version in bootstrapped.items()}
        assert ensemble.symbols[KIND] == ["BTCUSDT", "ETHUSDT"]
        assert registry.load_ensemble("simulated") is None
        with django_assert_num_queries(0):
            assert registry.load_ensemble("exchange") is ensemble
        frozen.advance(1.01)
        with django_assert_num_queries(1):
            assert registry.load_ensemble("exchange") is ensemble
    assert registry.loaded_versions() == {"exchange": {k: str(v.pk) for k, v in sorted(bootstrapped.items())}}


def test_a_promotion_elsewhere_is_followed_within_a_second():
    champions.bootstrap_all()
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


def test_the_first_champions_are_loaded_at_the_next_call():
    with clock.use(clock.FrozenClock(1_700_000_000_000)):
        versions = champions.bootstrap_all()
        ModelVersion.objects.update(stage="candidate")
        process_state.drop(LoadedVersions, Verdicts)
        assert registry.load_ensemble("exchange") is None
        ModelVersion.objects.update(stage="champion")
        assert registry.load_ensemble("exchange").versions == {k: str(v.pk) for k, v in versions.items()}


def test_while_the_first_champions_are_loaded_other_callers_wait(monkeypatch):
    loading, ensemble = threading.Event(), object()

    def load(source, state):
        loading.set()
        time.sleep(0.3)
        state.ensemble, state.checked_at = ensemble, clock.monotonic()

    monkeypatch.setattr(serving, "_refresh", load)
    process_state.of(LoadedVersions).serving["exchange"] = serving._Serving(checked_at=clock.monotonic())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(registry.load_ensemble, "exchange")
        assert loading.wait(5)
        assert registry.load_ensemble("exchange") is ensemble
        assert first.result(5) is ensemble


def test_a_promotion_here_is_followed_at_once(django_capture_on_commit_callbacks):
    champions.bootstrap_all()
    other = champions.candidate(KIND, seed=1)
    registry.load_ensemble("exchange")
    with django_capture_on_commit_callbacks(execute=True):
        registry.promote(other, "ada", "better")
    assert registry.load_ensemble("exchange").versions[KIND] == str(other.pk)


def test_a_damaged_champion_never_replaces_what_is_loaded(model_folder):
    champions.bootstrap_all()
    other = champions.candidate(KIND, seed=1)
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen:
        before = registry.load_ensemble("exchange")
        path = champions.damage(model_folder, other)
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
    bootstrapped = champions.bootstrap_all()
    champions.damage(model_folder, bootstrapped[KIND])
    process_state.drop(LoadedVersions, Verdicts)
    ensemble = registry.load_ensemble("exchange")
    assert ensemble.range_predictor is None
    assert set(ensemble.versions) == {"tpsl_classifier", "signal_classifier"}
    assert [failure.kind for failure in registry.load_failures()] == [KIND]


def test_load_version_loads_any_version_and_refuses_a_damaged_one(model_folder):
    version = champions.candidate()
    estimator = registry.load_version(version)
    assert estimator.horizons == champions.HORIZONS
    assert registry.load_version(version) is estimator
    champions.damage(model_folder, version)
    with pytest.raises(ModelLoadError):
        registry.load_version(version)


@pytest.mark.django_db(transaction=True)
def test_threads_share_one_ensemble():
    champions.bootstrap_all()
    process_state.drop(LoadedVersions, Verdicts)

    def ask(_):
        try:
            return registry.load_ensemble("exchange")
        finally:
            connection.close()

    with clock.use(clock.FrozenClock(1_700_000_000_000)), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(64)))
    assert found[0] is not None
    assert len({id(ensemble) for ensemble in found}) == 1
