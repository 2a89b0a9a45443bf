"""Challenger predictions of a candidate in the admin and over REST."""

from datetime import timedelta

import pytest
from django.urls import reverse

from marketdata import clock
from modelregistry.models import ModelVersion
from predictions.models import ChallengerLog
from tests.champions import BEGIN, STEP, artifact_folder, champions, fresh_engine  # noqa: F401
from tests.mlengine_project.console import rows
from tests.modelregistry import champions as tiny

KIND = "range_predictor"


@pytest.fixture
def versions(champions):  # noqa: F811
    """The champion, and a candidate with a tenth less loss for twenty days."""
    champion, market = champions[KIND], rows.market()
    version = tiny.candidate(KIND, seed=1, source="simulated")
    ModelVersion.objects.filter(pk=version.pk).update(created_at=champion.created_at + timedelta(hours=1))
    ChallengerLog.objects.bulk_create(
        ChallengerLog(
            market=market, version=version, champion=champion, horizon=6, answer={}, loss=9.0 + k % 2,
            champion_loss=(9.0 + k % 2) / 0.9, candle_time=clock.to_datetime(BEGIN + k * STEP),
        )
        for k in range(0, 20 * 288, 12)
    )  # fmt: skip
    return champion, version


def test_rest_compares_a_candidate_with_the_champion(caller, versions):
    champion, version = versions
    client = caller("read")
    (cell,) = client.get(f"/models/{version.pk}").json()["silent_comparison"]
    assert (cell["symbol"], cell["horizon"], cell["n"], cell["too_few"]) == ("BTCUSDT", 6, 480, False)
    assert cell["gain"] == pytest.approx(0.1)
    assert cell["lower"] <= cell["gain"] <= cell["upper"]
    assert client.get(f"/models/{champion.pk}").json()["silent_comparison"] == []
    assert "silent_comparison" not in client.get("/models").json()["results"][0], "it is part of a single version only"


def test_admin_compares_a_candidate_with_the_champion(admin_client, settings, versions):
    settings.ALLOWED_HOSTS = ["testserver"]
    champion, version = versions

    def page(of):
        return admin_client.get(reverse("admin:modelregistry_modelversion_change", args=[of.pk])).content.decode()

    assert "Champion comparison: unpublished forecasts" in page(version)
    assert "<td>480</td>" in page(version)
    assert "<td>+10</td>" in page(version)
    assert "Champion comparison: unpublished forecasts" not in page(champion)
    ChallengerLog.objects.all().delete()
    assert "No forecast of this version has been compared" in page(version)
