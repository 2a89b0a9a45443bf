"""Search on purged folds: every trial is recorded, and Optuna is optional."""

import importlib.util
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from indicators.features import WARMUP
from modelregistry.dataset.folds import walk_forward
from modelregistry.dataset.rows import build_dataset
from modelregistry.management.commands.search_models import gain_sentence, outcome_lines
from modelregistry.models import TrainingTrial
from modelregistry.search import study as searching
from modelregistry.search.study import Budget, gain_over
from modelregistry.training.configuration import (
    Configuration,
    ConfigurationScore,
    fit_configuration,
    score_configuration,
)
from tests.modelregistry import invented

INSTALLED = importlib.util.find_spec("optuna") is not None
SMALL = Configuration(max_depth=2, rounds=8)
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def rows():
    return build_dataset(invented.grid(WARMUP + 24 * 288, seed=5), ["AUSDT"], (6, 18), 6)


@pytest.fixture(scope="module")
def folds(rows):
    return list(walk_forward(rows.open_time, rows.ends, 2, test_span=5 * DAY_MS))


def test_a_configuration_is_scored_beside_the_baselines_and_again_the_same(rows, folds):
    found = score_configuration(rows, folds, SMALL, seed=1, threads=1)
    assert found == score_configuration(rows, folds, SMALL, seed=1, threads=1)
    assert len(found.fold_scores) == 2
    assert -0.5 < found.score < 0.5
    # Each fold has a best baseline of its own, so the whole is near their mean but not between them.
    assert found.score == pytest.approx(np.mean(found.fold_scores), abs=0.02)
    assert len(found.daily_gain) in {10, 11}


def test_a_bad_configuration_scores_worse(rows, folds):
    wild = replace(SMALL, max_depth=6, rounds=150, eta=0.5, reg_lambda=1.0, child_share=0.0, penalty=1e-6)
    good = score_configuration(rows, folds, SMALL, seed=1, threads=1)
    assert score_configuration(rows, folds, wild, seed=1, threads=1).score < good.score - 0.01


def test_rows_count_by_age_as_in_a_training(rows, folds):
    train = rows.take(folds[0].train)
    begin_ms = int(train.open_time.min())
    old = train.open_time < begin_ms + (int(train.open_time.max()) - begin_ms) // 2
    wider = [np.where(old[:, None], 3.0 * side, side) for side in (train.up, train.down)]
    aged = replace(train, up=wider[0], down=wider[1])
    long_ago = replace(aged, open_time=np.where(old, train.open_time - 8 * 365 * DAY_MS, train.open_time))
    levels = [fit_configuration(one, SMALL, seed=1, threads=1).scale.level for one in (aged, long_ago)]
    assert (levels[1] < levels[0] - 0.3).all()


def test_no_fold_uses_future_rows(rows, folds):
    fold = folds[0]
    assert rows.ends[fold.train].max() < rows.open_time[fold.test].min()
    train = rows.take(fold.train)
    plain = fit_configuration(train, SMALL, seed=1, threads=1)
    # Nothing after the training rows can have been read: another future gives the same forecast.
    inputs = rows.inputs.take(fold.test)
    first = plain.predict(inputs)
    changed = replace(rows, up=np.where(rows.open_time[:, None] >= rows.open_time[fold.test].min(), 9.9, rows.up))
    again = fit_configuration(changed.take(fold.train), SMALL, seed=1, threads=1).predict(inputs)
    assert np.array_equal(first.high, again.high)


def test_importing_the_command_does_not_import_optuna():
    code = (
        "import sys; sys.path.insert(0, '.'); sys.modules['optuna'] = None; import django;"
        "from django.conf import settings; settings.configure(INSTALLED_APPS=['marketdata', 'modelregistry'],"
        " EXTRA_FEATURES=[], EXTRA_ESTIMATORS=[], DEFAULT_HORIZONS=[6]);"
        "django.setup(); import modelregistry.management.commands.search_models as m; print(m.Command.help[:6])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Search", done.stderr


@pytest.mark.django_db
def test_without_optuna_the_command_explains_the_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(CommandError, match="uv sync --group research"):
        call_command("search_models", "--until", "2024-10-31")
    assert not TrainingTrial.objects.exists()


@pytest.mark.parametrize("option", ["--trials", "--folds", "--test-days", "--stride", "--workers"])
def test_an_empty_budget_is_refused(option):
    with pytest.raises(CommandError, match="at least 1"):
        call_command("search_models", "--until", "2024-10-31", option, "0")


def test_the_outcome_reports_selection_bias():
    ledger = {"trials": 20, "failed": 1, "overfitting": None, "message": "too few"}
    found = {
        "study": "s",
        "best_score": 0.02,
        "best": {"max_depth": 3, "eta": 0.05},
        "best_trial": 7,
        "over_settings_in_use": None,
        "ledger": ledger,
    }
    assert outcome_lines(found)[-1] == "too few"
    ledger["overfitting"] = {"probability": 0.48}
    ledger["deflated_sharpe"] = {"probability": 0.61, "significant": False}
    assert "is not significant" in outcome_lines(found)[-1]
    assert outcome_lines({**found, "best": None})[-1] == "none could be scored"


@pytest.mark.parametrize(
    ("lower", "sentence"),
    [
        (0.001, "trial 7 beats the settings in use: +0.35% skill (95 % interval +0.10% to +0.60% over 120 days"),
        (-0.001, "trial 7 does not surely beat the settings in use: +0.35% skill (95 % interval -0.10% to +0.60%"),
    ],
)
def test_the_outcome_says_whether_the_settings_in_use_are_beaten(lower, sentence):
    over = {"gain": 0.0035, "error": 0.001, "lower": lower, "upper": 0.006, "days": 120}
    found = {"best": asdict(SMALL), "best_trial": 7, "over_settings_in_use": over}
    assert gain_sentence(found).startswith(sentence)
    assert "could not be scored" in gain_sentence({**found, "over_settings_in_use": None})
    assert gain_sentence({**found, "best": asdict(Configuration())}) == "no configuration beats the settings in use"


def test_the_gain_is_paired_by_day_and_has_an_error():
    rng = np.random.default_rng(1)
    shared = rng.normal(size=120)
    days = np.datetime_as_string(np.arange(120).astype("datetime64[D]"))
    scores = [
        ConfigurationScore(lift, [], dict(zip(days, lift + shared + 0.01 * rng.normal(size=120), strict=True)))
        for lift in (0.02, 0.01)
    ]
    found = gain_over(*scores)
    assert found["gain"] == pytest.approx(0.01)
    assert 0.0 < found["lower"] < 0.01 < found["upper"] < 0.02, "what both share must cancel"
    assert found["days"] == 120


@pytest.mark.skipif(not INSTALLED, reason="Optuna is not installed: uv sync --group research")
@pytest.mark.django_db
class TestWithOptuna:
    BUDGET = Budget(trials=4, folds=2, test_days=5, threads=1)

    @pytest.fixture(autouse=True)
    def on_invented_candles(self, monkeypatch, rows, folds):
        monkeypatch.setattr(searching, "_rows", lambda *_: (rows, folds))

    def test_every_configuration_is_counted_and_the_search_repeats_itself(self):
        found = searching.search(1, source="simulated", budget=self.BUDGET, study="one")
        kept = list(TrainingTrial.objects.filter(study="one").order_by("id"))
        assert len(kept) == found["ledger"]["searched"] == 4
        assert len({row.configuration_digest for row in kept}) == 4
        assert found["best_score"] == max(row.score for row in kept)
        assert kept[0].configuration["rounds"] == Configuration().rounds
        assert all(len(row.fold_scores) == 2 and row.period_scores for row in kept)
        winner = max(kept, key=lambda row: row.score)
        assert found["best_trial"] == winner.pk
        assert found["over_settings_in_use"]["gain"] == pytest.approx(winner.score - kept[0].score)
        again = searching.search(1, source="simulated", budget=self.BUDGET, study="two")
        assert again["best"] == found["best"]

    def test_a_failing_configuration_is_counted_too(self, monkeypatch):
        def fail(*_, **__):
            raise ValueError("singular")

        monkeypatch.setattr(searching, "score_configuration", fail)
        found = searching.search(1, source="simulated", budget=self.BUDGET)
        assert found["best"] is None
        assert found["ledger"]["failed"] == 4

    def test_the_clock_ends_a_search(self):
        found = searching.search(1, source="simulated", budget=replace(self.BUDGET, seconds=0.0))
        assert found["ledger"]["trials"] == 1


@pytest.mark.django_db
def test_unknown_markets_and_missing_candles_are_error_messages(monkeypatch):
    monkeypatch.setattr(searching, "_sampler", lambda _: None)
    with pytest.raises(CommandError, match="no market of exchange candles is called NOUSDT"):
        call_command("search_models", "--until", "2024-10-31", "--source", "exchange", "--symbols", "NOUSDT")
    with pytest.raises(CommandError, match="no candles"):
        call_command("search_models", "--until", "2024-10-31", "--source", "exchange")
