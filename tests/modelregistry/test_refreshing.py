"""From stored candles to a refresh: the champion of the last weeks and a training on newer candles."""

import pytest

from indicators.features import WARMUP
from modelregistry import registry, services
from modelregistry.evaluation.reports import champion_comparison
from modelregistry.models import ModelVersion, TrainingTrial
from modelregistry.registry.version_state import Gate, state_of
from modelregistry.training import gate, refresh
from tests.modelregistry import stored_candles

pytestmark = pytest.mark.django_db
KIND = "signal_classifier"
DAYS = 24


@pytest.fixture
def opens(monkeypatch, settings):
    """Open times of stored candles, where three days are enough for a verdict."""
    monkeypatch.setattr(champion_comparison, "ENOUGH_DAYS", 3)
    monkeypatch.setattr(refresh, "ENOUGH_DAYS", 3)
    monkeypatch.setattr(gate, "MIN_TEST_DAYS", 3)
    monkeypatch.setattr(gate, "CALIBRATION_ERROR", 1.0)
    settings.REFRESH_MARGIN = 25.0
    return stored_candles.market(WARMUP + DAYS * 288, seed=3)


def train(until_ms=None, **options):
    (version,) = services.train([KIND], source="simulated", until_ms=until_ms, small=True, **options)
    return version


def test_the_same_recipe_on_newer_candles_is_a_refresh_of_the_champion(opens):
    champion = train(int(opens[-5 * 288]))
    assert champion.refresh_of is None
    assert "refresh" not in champion.report, "there was no champion to refresh"
    version = train()
    assert version.report["refresh"] == {"accepted": True, "reasons": [], "margin": 25.0}
    assert version.report["versus_champion"]["increase_upper"] < 25.0
    assert version.refresh_of == champion
    assert state_of(version).gate == (Gate.ACCEPTED if version.gate_accepted else Gate.REFRESH)
    (event,) = registry.refresh_champions([version], "schedule")
    assert ModelVersion.objects.get(stage="champion", kind=KIND) == version
    assert "surely by at most" in event.reason

    older = train(int(opens[-2 * 288]))
    assert older.refresh_of is None
    first, *_ = older.report["refresh"]["reasons"]
    assert "not after those of the champion" in first


def test_with_other_settings_and_without_enough_days_it_is_none(opens):
    train(int(opens[-2 * 288]))
    version = train(seed=2)
    assert version.refresh_of is None
    assert version.report["refresh"]["reasons"] == [
        "its settings are not those of the champion: seed",
        "not enough candles since the training of the champion: 2 of 3 days",
    ]
    assert TrainingTrial.objects.count() == 2
