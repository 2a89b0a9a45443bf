"""promote_model and rollback_model: what they say and what they refuse."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketdata.models import Market
from modelregistry.models import ModelVersion, PromotionEvent
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"


def run(*arguments):
    said = StringIO()
    call_command(*arguments, stdout=said)
    return said.getvalue()


def champion():
    return ModelVersion.objects.get(kind=KIND, stage="champion").seed


def test_promote_by_id_or_digest_and_roll_back():
    first, second = champions.candidate(seed=0), champions.candidate(seed=1)
    assert "before: no champion" in run("promote_model", str(first.pk), "--reason", "first")
    assert f"before: {first}" in run("promote_model", second.digest[:10], "--reason", "better")
    assert champion() == 1
    said = run("rollback_model", KIND, "--reason", "it drifts")
    assert said == f"rolled back from {second} to {first}\n"
    assert champion() == 0
    assert PromotionEvent.objects.count() == 3


def test_rolling_back_means_the_source_of_the_enabled_markets():
    Market.objects.create(symbol="BTCUSDT", source="simulated")
    first, second = (champions.candidate(seed=seed, source="simulated") for seed in (0, 1))
    for version in (first, second):
        run("promote_model", str(version.pk), "--reason", "why")
    assert run("rollback_model", KIND, "--reason", "it drifts") == f"rolled back from {second} to {first}\n"


def test_the_gate_speaks_through_the_command_and_an_override_is_told():
    version = champions.candidate(accepted=False)
    with pytest.raises(CommandError, match="it does not beat EWM"):
        run("promote_model", str(version.pk), "--reason", "please")
    assert "against the gate's verdict" in run("promote_model", str(version.pk), "--reason", "a drill", "--override")


@pytest.mark.parametrize("name", ["nothing", "00000000-0000-0000-0000-000000000000", ""])
def test_a_version_nobody_has_is_a_sentence(name):
    with pytest.raises(CommandError, match="names no version"):
        run("promote_model", name, "--reason", "why")


def test_there_must_be_something_to_roll_back_and_a_reason():
    with pytest.raises(CommandError, match="is left to undo"):
        run("rollback_model", KIND, "--reason", "why")
    with pytest.raises(CommandError, match="a reason must be written"):
        run("rollback_model", KIND, "--reason", " ")
    with pytest.raises(CommandError, match="--reason"):
        run("rollback_model", KIND)
