"""Training and evaluation from stored candles, with recorded trials."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from openapi_schema_validator import OAS30Validator

from indicators.features import WARMUP
from marketdata.process_state import process_state
from mlengine_project.console.versions.probability_charts import charts_of
from modelregistry import registry, services
from modelregistry.artifacts.verification import Verdicts
from modelregistry.estimators.online.correction import DEFAULT_CORRECTION
from modelregistry.evaluation.reports.as_json import SCHEMAS, published
from modelregistry.management.commands import train_models
from modelregistry.models import TrainingTrial
from modelregistry.registry.serving import LoadedVersions
from modelregistry.search import trial_ledger
from modelregistry.training.fit import range_predictor
from modelregistry.training.pipeline import Cancelled
from tests.modelregistry import stored_candles

pytestmark = pytest.mark.django_db
CANDLES = WARMUP + 21 * 288


@pytest.fixture
def stored():
    """Open times of one market with stored candles."""
    return stored_candles.market(CANDLES, seed=3)


def is_as_promised(version):
    """Validate a report against the OpenAPI schema."""
    components = {"components": {"schemas": {**SCHEMAS, "Side": {"enum": ["buy", "sell"]}}}}
    for name, value in (("ModelReport", published(version.report)), ("Hyperparameters", version.hyperparameters)):
        OAS30Validator({"$ref": f"#/components/schemas/{name}", **components}).validate(value)
    assert published(version.report)["skill"] == version.report["skill"]
    for shown, stored in zip(published(version.report)["cells"], version.report["cells"], strict=True):
        assert shown["skill"] == pytest.approx(stored["skill"] / 100)
        assert shown["skill_error"] == pytest.approx(stored["skill_error"] / 100)


def test_a_training_run_is_recorded_and_its_version_has_details(stored):
    (version,) = services.train(["signal_classifier"], source="simulated", small=True, actor="olga")
    (trial,) = TrainingTrial.objects.all()
    assert (trial.version, trial.actor, trial.origin) == (version, "olga", "run")
    assert trial.score == pytest.approx(version.report["skill"])
    assert trial.configuration["hyperparameters"] == version.hyperparameters
    assert trial.tested_from is not None
    assert trial_ledger.ledger_report("signal_classifier", "simulated")["trials"] == 1
    drawn = {chart.title for chart in charts_of(version.kind, version.report) if chart.panels}
    assert {"Reliability", "Skill over time"} <= drawn
    assert len(trial.period_scores) >= 3
    assert "is a constant" in version.report["direction"]["words"]
    is_as_promised(version)

    found = services.evaluate(int(stored[-5 * 288]), int(stored[-1]), [version], stride=12)
    detail = found["signal_classifier"]["detail"]
    assert detail["cells"][0]["symbol"] == "AUSDT"
    assert sum(detail["cells"][0]["buy"]["rows"]) == found["signal_classifier"]["cells"][0]["rows"]
    assert registry.champions("simulated")["signal_classifier"].pk == version.pk


@pytest.mark.parametrize(("words", "corrected"), [([], True), (["--corrected"], True), (["--no-corrected"], False)])
def test_ranges_have_a_correction_by_default(words, corrected):
    parser = train_models.Command().create_parser("manage.py", "train_models")
    assert parser.parse_args(words).corrected == corrected


def test_ranges_of_a_short_history_report_the_cost_of_the_correction(stored, monkeypatch):
    # On a few days the correction may cost more than the limit, unlike on months.
    gentle = replace(DEFAULT_CORRECTION, gain=0.1)
    monkeypatch.setattr(range_predictor, "DEFAULT_CORRECTION", gentle)
    (version,) = services.train(["range_predictor"], source="simulated", small=True)
    assert registry.load_version(version).correction == gentle
    is_as_promised(version)
    assert version.report["correction_rule"]["kept"] is True
    costs = version.report["correction"]
    assert [row["horizon"] for row in costs] == version.horizons
    assert all(row["affordable"] == (row["loss_change"] <= 0.3) for row in costs)
    found = services.evaluate(int(stored[-2 * 288]), int(stored[-1]), [version], stride=12)["range_predictor"]
    assert [row["horizon"] for row in found["correction"]] == version.horizons


def test_a_cancelled_or_failed_run_is_recorded(stored, monkeypatch):
    kinds = ["range_predictor", "signal_classifier"]
    with pytest.raises(Cancelled):
        services.train(kinds, source="simulated", small=True, actor="olga", cancelled=lambda: True)
    stopped = TrainingTrial.objects.all()
    assert {trial.kind for trial in stopped} == set(kinds)
    assert {(trial.score, trial.version, trial.actor) for trial in stopped} == {(None, None, "olga")}
    assert all(trial.failure == "Cancelled: cancelled; nothing was written" for trial in stopped)
    assert trial_ledger.ledger_report("range_predictor", "simulated")["failed"] == 1
    assert all(trial.configuration["hyperparameters"]["corrected"] for trial in stopped), "by default"

    def torn(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(services.artifacts, "write_artifact", torn)
    with pytest.raises(OSError, match="no space"):
        services.train(["signal_classifier"], source="simulated", small=True)
    assert TrainingTrial.objects.first().failure == "OSError: no space left"


def test_a_run_stopped_by_its_job_is_recorded(stored, monkeypatch):
    def stopped_by_signal(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(services, "train_kinds", stopped_by_signal)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(CommandError, match="interrupted"):
        call_command("train_models", "--kinds", "signal_classifier", "--source", "simulated", "--small")
    assert TrainingTrial.objects.get().failure == "interrupted"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_day_after_the_champion_the_comparison_uses_shared_test_days(stored):
    until = int(stored[-1]) + 300_000
    (first,) = services.train(["signal_classifier"], source="simulated", small=True, until_ms=until - 86_400_000)
    (second,) = services.train(["signal_classifier"], source="simulated", small=True, until_ms=until)
    versus = second.report["versus_champion"]
    shared = set(first.report["detail"]["daily_gain"]) & set(second.report["detail"]["daily_gain"])
    # The history is too short for the required test days, which the gate reports.
    assert (versus["evidence"], versus["days"]) == ("none", len(shared))
    assert any(f"of 30 days, and {len(shared)} days both were tested on" in why for why in second.gate_reasons)


def test_a_champion_that_cannot_be_loaded_is_not_compared(stored, model_folder):
    (first,) = services.train(["signal_classifier"], source="simulated", small=True)
    next((model_folder / first.kind / first.digest).glob("*.ubj")).write_bytes(b"torn")
    process_state.drop(LoadedVersions, Verdicts)
    (second,) = services.train(["signal_classifier"], source="simulated", small=True, seed=2)
    assert "versus_champion" not in second.report


def test_two_versions_of_a_kind_are_evaluated_with_summaries_before_tables(stored, capsys):
    first, second = (
        services.train(["signal_classifier"], source="simulated", small=True, seed=seed)[0] for seed in (1, 2)
    )
    stretch = ["--from", str(stored[-3 * 288]), "--to", str(stored[-1]), "--stride", "12"]
    call_command("evaluate_models", *stretch, "--versions", str(first.pk), second.digest[:12])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"signal_classifier {str(first.pk)[:8]} is ")
    assert any(line.startswith(f"signal_classifier {str(second.pk)[:8]} is ") for line in lines)
    assert sum("in-sample: the version" in line for line in lines) == 2
    assert max(map(len, lines)) <= 120
    call_command("evaluate_models", *stretch, "--versions", str(first.pk), str(second.pk), "--json")
    both = json.loads(capsys.readouterr().out)["evaluations"]
    assert [one["versions"] for one in both] == [{"signal_classifier": str(one.pk)} for one in (first, second)]
    call_command("evaluate_models", *stretch, "--versions", str(second.pk), "--json")
    assert json.loads(capsys.readouterr().out) == both[1]
