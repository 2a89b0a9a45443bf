"""A search, a training with the settings of its winner, and the comparison with the settings in use."""

import importlib.util
import json
from dataclasses import asdict
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from indicators.features import WARMUP
from marketdata import clock
from marketdata.clock import iso
from modelregistry import artifacts, services
from modelregistry.errors import TrainingError
from modelregistry.models import ModelVersion, TrainingTrial
from modelregistry.search import trial_ledger
from modelregistry.training.fit.plan import plan_for
from modelregistry.training.fit.settings import Configuration, TrialSettings
from tests.modelregistry import stored_candles

pytestmark = pytest.mark.django_db
INSTALLED = importlib.util.find_spec("optuna") is not None
TRIED = Configuration(max_depth=2, rounds=8, penalty=0.1)


def run(*arguments):
    output = StringIO()
    call_command(*map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def trial(**fields):
    given = {"kind": "range_predictor", "source": "simulated", "origin": "search", "study": "one", "actor": "olga"}
    return trial_ledger.record_trial(**{**given, "configuration": asdict(TRIED), "score": 0.02, **fields})


@pytest.mark.skipif(not INSTALLED, reason="Optuna is not installed: uv sync --group research")
def test_the_command_that_a_search_prints_trains_its_winner_which_is_compared(settings):
    settings.DEFAULT_HORIZONS = [6, 18]
    opens = stored_candles.market(WARMUP + 20 * 288, seed=3)
    until = iso(clock.to_datetime(int(opens[-2 * 288])))
    budget = ["--trials", 2, "--folds", 1, "--test-days", 7, "--stride", 24, "--workers", 1]
    printed = run("search_models", "--source", "simulated", "--until", until, *budget).splitlines()[-1]
    winner = TrainingTrial.objects.filter(origin="search").order_by("-score").first()
    assert printed == (
        f"train it: uv run manage.py train_models --settings-from {winner.pk} --source simulated --until {until}"
    )

    run(*printed.removeprefix("train it: uv run manage.py ").split(), "--small")
    trained = ModelVersion.objects.get(kind="range_predictor")
    assert ModelVersion.objects.count() == 1, "the range predictor alone, unless other kinds are asked for"
    manifest = artifacts.read_artifact(trained.kind, trained.digest).manifest["hyperparameters"]
    assert manifest == trained.hyperparameters
    assert manifest["trial"] == winner.pk
    assert manifest["rounds"] == [winner.configuration["rounds"]] * 2
    assert {name: manifest[name] for name in ("max_depth", "eta", "penalty")} == {
        name: winner.configuration[name] for name in ("max_depth", "eta", "penalty")
    }

    run("train_models", "--kinds", "range_predictor", "--source", "simulated", "--until", until, "--small")
    (in_use,) = ModelVersion.objects.exclude(pk=trained.pk)
    assert "trial" not in in_use.hyperparameters
    found = json.loads(run("compare_models", trained.pk, in_use.pk, "--from", until, "--to", opens[-1], "--json"))
    assert [cell["horizon"] for cell in found["cells"]] == [6, 18]
    assert all(cell["gain"] != 0 for cell in found["cells"]), "other settings, other forecasts"


def test_the_trials_are_listed_with_ids_and_settings():
    assert run("list_models", "--trials") == "no trial is recorded\n"
    scored, failed = trial(), trial(score=None, failure="ValueError: singular")
    lines = run("list_models", "--trials").splitlines()
    words = [line.split() for line in lines]
    day = f"{scored.at:%Y-%m-%d}"
    assert words[2:4] == [
        [str(failed.pk), "range_predictor", "simulated", day, "failed", "one"],
        [str(scored.pk), "range_predictor", "simulated", day, "+2.00%", "one"],
    ]
    assert words[6] == ["id", *asdict(TRIED)]
    assert words[8] == [str(scored.pk), "2", "8", "0.05", "0.5", "0.4", "50", "0.005", "0.1"]
    assert max(map(len, lines)) <= 120
    (_, listed) = json.loads(run("list_models", "--trials", "--json"))
    assert (listed["id"], listed["settings"]) == (scored.pk, asdict(TRIED))
    assert json.loads(run("list_models", "--trials", "--source", "exchange", "--json")) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score": None, "failure": "ValueError: singular"}, "has no score: ValueError: singular"),
        ({"source": "exchange"}, "was scored on exchange candles, not on simulated ones"),
        ({"origin": "run", "configuration": {"hyperparameters": {"stride": 3}}}, "has no settings of its own"),
    ],
)
def test_a_trial_without_settings_is_refused_and_says_how_to_list(fields, words):
    with pytest.raises(CommandError, match=words) as refused:
        run("train_models", "--settings-from", trial(**fields).pk, "--source", "simulated")
    assert "manage.py list_models --trials" in str(refused.value)


def test_an_unknown_trial_is_refused_and_says_how_to_list():
    with pytest.raises(CommandError, match=r"no trial 99; list the trials with `manage.py list_models --trials`"):
        run("train_models", "--settings-from", "99", "--source", "simulated")


def test_the_signal_classifier_has_no_settings_of_a_trial():
    with pytest.raises(TrainingError, match="not of signal_classifier"):
        services.train(["signal_classifier"], source="simulated", settings_from=trial().pk)


def test_a_training_with_the_settings_of_a_trial_can_be_repeated_from_its_own_trial():
    searched = trial()
    plan = plan_for(20_000, (6, 18)).with_settings(TrialSettings(searched.pk, TRIED))
    again = trial(origin="run", study="", configuration={"hyperparameters": plan.as_hyperparameters()})
    lines = run("list_models", "--trials").splitlines()
    assert lines[-2].split()[:3] == [str(again.pk), "2", "8"]
    with pytest.raises(TrainingError, match="no market with simulated candles is enabled"):
        services.train(source="simulated", settings_from=again.pk)
