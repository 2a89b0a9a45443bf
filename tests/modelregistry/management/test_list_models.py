"""list_models: every version with its training, verdict and files."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from marketdata import clock
from modelregistry import registry
from modelregistry.models import ModelVersion
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db


def run(*arguments):
    output = StringIO()
    call_command("list_models", *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def versions():
    """A champion with a skill, a refused candidate whose files are removed, and one of another kind."""
    champion = champions.candidate(seed=1)
    registry.bootstrap(champion, "tests", "first")
    ModelVersion.objects.filter(pk=champion.pk).update(report={"skill": 0.0312})
    removed = champions.candidate(seed=2, accepted=False)
    ModelVersion.objects.filter(pk=removed.pk).update(files_removed_at=clock.wall_now())
    return [champion, removed, champions.candidate("signal_classifier", seed=3, source="simulated")]


def test_one_line_for_every_version_newest_first_by_kind(versions):
    champion, removed, other = versions
    lines = run().splitlines()
    assert len(lines) == 8, "a title and headers for every kind, an empty line between them"
    words = [line.split() for line in lines if "exchange" in line]
    assert [line[0] for line in words] == [removed.digest[:12], champion.digest[:12]]
    assert "champion" in words[1]
    assert "accepted" in words[1]
    assert "+3.12%" in words[1]
    assert "kept" in words[1]
    assert "2025-01-01" in words[1]
    assert {"candidate", "refused", "removed"} <= set(words[0])
    assert any(other.digest[:12] in line and "simulated" in line for line in lines)


def test_json_and_the_choice_of_kind_and_source(versions):
    champion, removed, other = versions
    found = json.loads(run("--json"))
    assert {one["id"] for one in found} == {str(one.pk) for one in versions}
    shown = next(one for one in found if one["id"] == str(champion.pk))
    assert shown == {
        "id": str(champion.pk),
        "kind": "range_predictor",
        "source": "exchange",
        "digest": champion.digest,
        "stage": "champion",
        "gate_accepted": True,
        "refresh_of": None,
        "unproven": False,
        "trained_from": "2024-01-01T00:00:00Z",
        "trained_until": "2025-01-01T00:00:00Z",
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "horizons": [6, 18, 36, 72],
        "skill": 0.0312,
        "files_kept": True,
    }
    assert next(one for one in found if one["id"] == str(removed.pk))["files_kept"] is False
    assert [one["id"] for one in json.loads(run("--json", "--kinds", "signal_classifier"))] == [str(other.pk)]
    assert len(json.loads(run("--json", "--source", "exchange"))) == 2


def test_without_a_version_it_says_so():
    assert run() == "no version is registered\n"
    assert json.loads(run("--json")) == []
