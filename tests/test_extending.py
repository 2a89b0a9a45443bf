"""The package of `docs/extending.md`, outside the repository: checked, trained, refused by the gate, promoted, served."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from indicators.features import FEATURE_NAMES, WARMUP
from tests.installation import Installation

pytest.importorskip("lightgbm", reason="LightGBM is not installed: uv sync --group lightgbm")

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """Candles of two markets, and a champion that was trained before the package came."""
    installation = Installation(tmp_path_factory.mktemp("extending"))
    installation.import_invented(WARMUP + 21 * 288)
    installation.succeed("train_models", "--kinds", "range_predictor", "--source", "simulated", "--small")
    return installation


def blocks():
    """Files of the page by name, and its commands."""
    files = dict(re.findall(r"```python\n# (mytrading/\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
    (commands,) = re.findall(r"```\n(export .*?)```", PAGE, re.DOTALL)
    settings = dict(re.findall(r"^export (\w+)=(.+)$", commands, re.MULTILINE))
    return files, settings, [line.split()[3:] for line in commands.splitlines() if line.startswith("uv run manage.py")]


def test_the_page_is_followed_word_by_word(installation):
    files, settings, commands = blocks()
    package = Path(installation.environment["PYTHONPATH"]) / "mytrading"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in files.items():
        (package.parent / name).write_text(text)
    (champion,) = installation.versions()
    assert champion[1:] == ["champion", None, []]

    printed = [
        installation.succeed(*words, *(["--source", "simulated"] if words[0] == "train_models" else []), **settings)
        for words in commands
    ]
    assert "no issues" in printed[0]
    columns = ["lead_1", "lead_12", "majors_1", "majors_12", "taker_share_12"]
    own, trees, constant = installation.versions(**settings)[1:]
    assert [one[1:] for one in (own, trees, constant)] == [
        ["candidate", None, columns],
        ["candidate", "quantile-trees", columns],
        ["candidate", "constant", columns],
    ]
    assert "out of sample" in printed[2]
    assert "refused by the gate" in printed[3]

    replayed = package.parent / "ranges.parquet"
    span = ("--from", "2023-12-15", "--to", "2023-12-16", "--ranges", replayed)
    forecasts = {}
    for name, (digest, *_) in (("champion", champion), ("own", own), ("trees", trees)):
        installation.succeed("replay_predictions", *span, "--versions", digest, **settings)
        forecasts[name] = pd.read_parquet(replayed).predicted_high.to_numpy()
        assert len(forecasts[name]) == 2 * 288 * 4
        assert np.isfinite(forecasts[name]).all()
    assert len({values.tobytes() for values in forecasts.values()}) == 3
    installation.succeed("replay_predictions", *span, "--versions", champion[0])
    alone = pd.read_parquet(replayed).predicted_high.to_numpy()
    assert (alone == forecasts["champion"]).all(), "the old champion answers alike beside the new columns"

    # The installation has a champion of one kind alone, which the proof reports as not whole.
    proof = installation.manage("check_leakage", "--candles", 5500, "--instants", 1, "--parity", 5, **settings).stdout
    assert f"features: {len(FEATURE_NAMES) + len(columns)} columns, 2 mutated futures: nothing changed" in proof
    assert "live, training and batch: 5 candles: equal bit for bit" in proof
    assert "LEAKS" not in proof

    word = ("--reason", "tried", "--override")
    installation.succeed("promote_model", trees[0], *word, **settings)
    refused = installation.manage("check")
    assert refused.returncode == 1
    assert "its estimator 'quantile-trees' is not among EXTRA_ESTIMATORS" in refused.stderr
    half = installation.manage("check", EXTRA_ESTIMATORS=settings["EXTRA_ESTIMATORS"])
    assert (
        "reads lead_1, majors_1, lead_12, majors_12, taker_share_12, which this installation does not compute"
        in half.stderr
    )
    assert "add mytrading.features.flow, mytrading.features.lead to EXTRA_FEATURES" in half.stderr
    installation.succeed("rollback_model", "range_predictor", "--source", "simulated", "--reason", "back")
    installation.succeed("check")
