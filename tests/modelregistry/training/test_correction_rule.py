"""A correction that costs too much in walk-forward tests is removed and reported."""

from dataclasses import replace

import numpy as np
import pytest

from modelregistry.estimators.online.correction import NO_CORRECTION, Correction
from modelregistry.evaluation.reports.correction import MAX_LOSS_PERCENT, correction_verdict
from modelregistry.evaluation.reports.report import Collected
from modelregistry.training.fit import range_predictor
from modelregistry.training.pipeline import train_kinds
from tests.modelregistry.training.test_pipeline import PLAN, request

KIND = "range_predictor"
STRONG = Correction(candles=144, stride=6, gain=2.0, prior=0.0)
"""A window of twelve hours with gain 2: better coverage at a large increase of the loss."""
WEAK = Correction(candles=4 * 288, stride=12, gain=0.1, prior=50.0)


def trained(correction, monkeypatch):
    monkeypatch.setattr(range_predictor, "DEFAULT_CORRECTION", correction)
    return train_kinds(request((KIND,), plan=replace(PLAN, corrected=True)))[KIND]


@pytest.fixture(scope="module")
def plain():
    return train_kinds(request((KIND,)))[KIND]


def test_a_costly_correction_is_removed_and_reported(plain, monkeypatch):
    found = trained(STRONG, monkeypatch)
    worst = max(found.report["correction"], key=lambda one: one["loss_change"])
    assert worst["loss_change"] > MAX_LOSS_PERCENT
    assert found.report["correction_rule"]["kept"] is False
    assert f"{worst['loss_change']:.2f} %" in found.report["correction_rule"]["words"]
    assert found.estimator.correction == NO_CORRECTION
    assert found.manifest_fields["hyperparameters"]["corrected"] is False
    assert found.estimator.to_files() == plain.estimator.to_files()
    # The scores are those of the version without the correction.
    assert found.report["cells"] == plain.report["cells"]
    assert found.report["detail"] == plain.report["detail"]


def test_a_cheap_correction_is_kept(plain, monkeypatch):
    found = trained(WEAK, monkeypatch)
    assert max(one["loss_change"] for one in found.report["correction"]) <= MAX_LOSS_PERCENT
    assert found.report["correction_rule"]["kept"] is True
    assert found.estimator.correction == WEAK
    assert found.report["cells"] != plain.report["cells"]
    assert "correction_rule" not in plain.report


@pytest.mark.parametrize(("lost", "kept"), [((0.3, 0.1), True), ((0.1, 0.31), False), ((0.1, np.nan), False)])
def test_every_horizon_counts(lost, kept):
    table = [{"horizon": horizon, "loss_change": one} for horizon, one in zip((6, 72), lost, strict=True)]
    assert correction_verdict(table)["kept"] is kept
    assert correction_verdict([])["kept"] is False


def test_a_collection_without_its_correction_keeps_everything_else():
    found = Collected()
    found.uncorrected = Collected()
    for fold in (1.0, 2.0):
        found.add(("A", 6), np.full(3, fold), np.arange(3.0))
        found.uncorrected.add(("A", 6), np.full(3, -fold))
    ((quantiles, kept),) = found.without_correction().cells().values()
    assert quantiles.tolist() == [-1.0] * 3 + [-2.0] * 3
    assert kept.tolist() == [0.0, 1.0, 2.0] * 2
    assert found.without_correction().without_correction().parts.keys() == found.parts.keys()
