import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from indicators.candles import CANDLE_COLUMNS
from indicators.errors import FeatureError
from indicators.features import FEATURE_NAMES, WARMUP, FeatureSet, build, families
from indicators.features.stream import Stream
from indicators.proofs.leakage import check_leakage, seeded_leaks
from marketdata.process_state import process_state
from mlengine_project.operations import leakage
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.online.correction import Correction
from modelregistry.estimators.online.guard import Guard
from modelregistry.registry.serving import LoadedVersions
from predictions.live import online_correction
from tests.champions import bootstrap_champions, make_markets
from tests.indicators.series import walk
from tests.modelregistry import champions as tiny


@pytest.fixture
def candle_file(tmp_path):
    grid = walk(WARMUP + 400, seed=17)
    path = tmp_path / "candles.parquet"
    columns = {name: getattr(grid, name)[0] for name in CANDLE_COLUMNS}
    pd.DataFrame({"open_time": grid.open_time, **columns}).to_parquet(path)
    return path


def run(capsys, *arguments):
    call_command("check_leakage", *map(str, arguments))
    return capsys.readouterr().out


def test_clean_result_as_json(candle_file, capsys):
    output = json.loads(run(capsys, "--data", candle_file, "--instants", 4, "--parity", 5, "--json"))
    assert output["clean"] is True
    assert output["checked"]["features"] == {
        "columns": len(FEATURE_NAMES),
        "instants": 4,
        "mutations": 8,
        "leaking": [],
    }
    assert output["live_equals_batch"] == {"rows": 5, "mismatching": []}
    assert set(output["seeded_leaks_caught"]) == {
        "shifted_by_one",
        "centred_window",
        "global_scaling",
        "higher_interval",
    }
    assert all(output["seeded_leaks_caught"].values())


def test_leak_exits_with_code_1_and_its_name(candle_file, capsys, monkeypatch):
    def leaky(grid, rows, **options):
        values = honest(grid, rows, **options)
        values[:, :, 2] = values[:, :, 2].mean(axis=1, keepdims=True)
        return values

    honest = leakage.build_features
    monkeypatch.setattr(leakage, "build_features", leaky)
    with pytest.raises(SystemExit) as ended:
        run(capsys, "--data", candle_file, "--instants", 3, "--parity", 3)
    assert ended.value.code == 1
    output = capsys.readouterr().out
    assert f"LEAKS: {FEATURE_NAMES[2]}" in output
    assert f"DIFFERS: {FEATURE_NAMES[2]}" in output


def test_a_check_that_misses_a_seeded_leak_is_not_clean(candle_file, capsys, monkeypatch):
    monkeypatch.setattr(leakage, "seeded_leaks", lambda compute: [("harmless", compute)])
    with pytest.raises(SystemExit):
        run(capsys, "--data", candle_file, "--instants", 1, "--parity", 0)
    assert "seeded leak harmless: MISSED" in capsys.readouterr().out


def test_invalid_arguments_are_reported(tmp_path, candle_file, capsys):
    with pytest.raises(CommandError, match="no such file"):
        run(capsys, "--data", tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(CommandError, match=r"text\.parquet"):
        run(capsys, "--data", tmp_path / "text.parquet")
    pd.read_parquet(candle_file).head(50).to_parquet(tmp_path / "short.parquet")
    with pytest.raises(CommandError, match="there are 50"):
        run(capsys, "--data", tmp_path / "short.parquet")
    with pytest.raises(CommandError, match="--instants"):
        run(capsys, "--data", candle_file, "--instants", 0)


def sensitive(kind):
    """A small estimator whose scale depends on every feature; few shallow trees would hide a small change."""
    fitted = tiny.estimator(kind)
    if kind == "signal_classifier":
        return fitted
    weights = 0.01 * np.random.default_rng(2).normal(size=fitted.scale.linear.weights.shape)
    return replace(fitted, scale=replace(fitted.scale, linear=replace(fitted.scale.linear, weights=weights)))


def champions_of_all_kinds():
    return Ensemble(*(sensitive(kind) for kind in tiny.KINDS))


def test_every_estimator_output_is_checked_and_clean():
    verdict = leakage.examine(walk(WARMUP + 300, seed=19), champions_of_all_kinds(), instants=3, parity_rows=2, seed=1)
    assert verdict.clean
    columns = {name: len(report.columns) for name, report in verdict.reports.items()}
    assert columns["range_predictor"] == 2 * len(tiny.HORIZONS) * 7
    assert columns["tpsl_classifier"] == 2 * len(tiny.HORIZONS) * 3
    assert columns["signal_classifier"] == 3
    assert {report.mutations for report in verdict.reports.values()} == {6}, "the next candle alone, and all of them"


@pytest.mark.parametrize("leak", ["shifted_by_one", "centred_window", "global_scaling", "higher_interval"])
def test_leak_through_features_is_found_in_the_estimator(leak, monkeypatch):
    monkeypatch.setattr(online_correction, "build_features", dict(seeded_leaks(leakage.build_features))[leak])
    grid = walk(WARMUP + 300, seed=19)
    for subject in leakage.subjects(champions_of_all_kinds()):
        if subject.name in ("range_predictor", "tpsl_classifier"):
            report = check_leakage(subject.compute, subject.columns, grid, [WARMUP + 50], warmup=WARMUP)
            assert not report.clean, subject.name


class Early(Correction):
    """Uses forecasts whose outcome is not known yet."""

    def log_factors(self, quantiles, outcomes, counted, asked, horizons):
        return super().log_factors(quantiles, outcomes, counted, asked + 72, horizons)


@pytest.mark.parametrize(("kind", "clean"), [(Correction, True), (Early, False)])
def test_online_correction_is_checked(kind, clean):
    fitted = replace(tiny.estimator("range_predictor"), correction=kind(candles=576, stride=12, prior=2.0))
    grid = walk(WARMUP + 576 + 72 + 200, seed=19)
    verdict = leakage.examine(grid, Ensemble(fitted, None, None), instants=3, parity_rows=1, seed=1)
    assert verdict.reports["range_predictor"].clean == clean
    wanted = np.ones((grid.n_markets, 1), dtype=bool)
    inputs = online_correction.window_inputs(grid, 1, Ensemble(fitted, None, None), wanted)
    assert (inputs.log_factors != 0).any(), "there is a correction"


def test_guard_suppression_is_checked():
    fitted = tiny.estimator("range_predictor")
    guarded = replace(fitted, novelty=tiny.often_flagging_novelty(Guard(candles=288, share=0.5)))
    grid = walk(WARMUP + 900, seed=21)
    verdict = leakage.examine(grid, Ensemble(guarded, None, None), instants=3, parity_rows=1, seed=1)
    assert verdict.reports["distrust"].clean
    found = leakage._suppressed(Ensemble(guarded, None, None), grid, 400)
    assert 0 < found.mean() < 1


def test_a_column_that_no_family_computes_is_an_error():
    """There is one more column than the families compute."""
    grid, features = walk(WARMUP + 300, seed=19), FeatureSet()
    vars(features)["names"] = (*FEATURE_NAMES, "one_more")
    with pytest.raises(FeatureError, match="are not all"):
        build.build_features(grid, 20, features)


def test_every_path_reads_the_one_list_of_families():
    window = Stream(1).feed(np.ones((len(CANDLE_COLUMNS), 1, 1)))
    columns = [name for family in families.CANDLE_FAMILIES for name, _ in family(window)]
    assert len(columns) == len(FEATURE_NAMES) - len(build.calendar_features(np.array([0]))[0])
    columns += [name for name, _ in families.CALENDAR(np.array([0]), 300_000)]
    assert tuple(columns) == FEATURE_NAMES


@pytest.mark.parametrize("path", ["trained_features", "live_features"])
def test_a_path_that_differs_from_the_batch_is_named(path, candle_file, capsys, monkeypatch):
    honest = getattr(leakage, path)

    def differing(grid, rows):
        values = honest(grid, rows)
        values[:, ::2, 4] += 1
        return values

    monkeypatch.setattr(leakage, path, differing)
    with pytest.raises(SystemExit):
        run(capsys, "--data", candle_file, "--instants", 1, "--parity", 20)
    assert f"DIFFERS: {FEATURE_NAMES[4]}" in capsys.readouterr().out


@pytest.mark.django_db
def test_without_champions_the_check_fails_and_says_what_it_could_not_examine(capsys, tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    process_state.of(LoadedVersions).serving.clear()
    make_markets(count=WARMUP + 120)
    with pytest.raises(SystemExit) as ended:
        run(capsys, "--instants", 1, "--parity", 1)
    assert ended.value.code == 1
    output = capsys.readouterr().out
    assert "range_predictor: NOT EXAMINED: there is no champion" in output
    assert output.rstrip().endswith("NOT clean")


def test_an_examination_of_files_says_that_no_champion_was_examined(candle_file, capsys):
    output = run(capsys, "--data", candle_file, "--instants", 1, "--parity", 1)
    assert output.rstrip().endswith("clean, of features alone: no champion was examined")


@pytest.mark.django_db
def test_a_champion_that_cannot_be_loaded_is_named(capsys, settings, tmp_path):
    settings.MODEL_PATH = tmp_path / "models"
    bootstrap_champions()
    make_markets(count=WARMUP + 120)
    settings.MODEL_PATH = tmp_path / "elsewhere"
    tiny.unload_estimators()
    with pytest.raises(SystemExit):
        run(capsys, "--instants", 1, "--parity", 1)
    assert "tpsl_classifier: NOT EXAMINED: its champion cannot be loaded" in capsys.readouterr().out
