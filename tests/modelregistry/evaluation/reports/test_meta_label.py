"""The meta-label on out-of-fold sides: a real direction is used and calibrated, noise is not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from indicators.candles import CandleGrid
from indicators.features import FEATURE_NAMES, WARMUP
from indicators.labels import Direction
from modelregistry.dataset.outcomes import direction_labels, direction_spans
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators import boosting
from modelregistry.estimators.signal_classifier import SignalClassifier, sides_of
from modelregistry.evaluation.reports.meta_label import collect_meta_labels, meta_label_report
from modelregistry.evaluation.reports.report import Collected
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.sides import fit_primary, out_of_fold_sides
from modelregistry.training.fit.signal_classifier import UNIQUENESS, fit_direction, rates_of
from modelregistry.training.pipeline import TrainingRequest, train_kinds
from tests.modelregistry import champions, invented

KIND = "signal_classifier"
HORIZON, COSTS = 18, 0.0005
PLAN = TrainingPlan(stride=6, folds=2, test_days=8, cross_blocks=3, marks=(4, 8), residual_rounds=5, seed=1, threads=2)


def drifting(candles, seed, pull=0.25):
    """Random walk with slowly changing drift, visible in momentum, and constant volatility."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.cumsum(rng.random(candles) < 1 / 300) % 2, 1.0, -1.0)
    steps = 0.001 / np.sqrt(12) * (rng.normal(size=(candles, 12)) + pull * sign[:, None] / np.sqrt(12))
    path = np.cumsum(steps.ravel()).reshape(candles, 12)
    whole = np.column_stack([np.concatenate([[0.0], path[:-1, -1]]), path])
    columns = {"open": whole[:, 0], "high": whole.max(axis=1), "low": whole.min(axis=1), "close": path[:, -1]}
    times = 1_700_006_400_000 // 300_000 * 300_000 + np.arange(candles) * 300_000
    volume = 100 * np.exp(0.3 * rng.normal(size=(1, candles)))
    return CandleGrid(times, **{name: 100 * np.exp(column)[None] for name, column in columns.items()}, volume=volume)


def request(grid):
    return TrainingRequest(grid, ("AUSDT",), "simulated", (KIND,), (HORIZON,), PLAN, costs=COSTS)


@pytest.fixture(scope="module")
def planted():
    return train_kinds(request(drifting(WARMUP + 60 * 288, seed=1)))[KIND]


@pytest.fixture(scope="module")
def driftless():
    return train_kinds(request(invented.grid(WARMUP + 45 * 288, seed=2)))[KIND]


@pytest.fixture(scope="module")
def rows():
    """Rows with random labels: no side can be predicted."""
    found = build_dataset(invented.grid(WARMUP + 20 * 288, seed=5), ("AUSDT",), (HORIZON,), 3)
    found = found.take(np.flatnonzero(found.has_features))
    return found, np.random.default_rng(3).integers(0, 2, len(found))


def test_a_real_direction_is_used_and_calibrated(planted):
    fitted, report = planted.estimator, planted.report
    assert fitted.directional
    assert fitted.meta_trust > 0
    assert report["direction"]["enters"]
    (cell,) = report["meta_label"]["cells"]
    assert cell["gain_over_coin"] - 2 * cell["accuracy_error"] > 0
    assert cell["brier_saved"] - 2 * cell["brier_saved_error"] > 0
    assert cell["log_loss_saved"] > 0
    assert cell["share_brier_saved"] - 2 * cell["share_brier_saved_error"] > 0
    plain, own = report["meta_label"]["acting"]
    assert (plain["name"], own["name"]) == ("none", "uniqueness")
    assert min(plain["lift"], own["lift"]) > 1.0
    assert 0 < plain["approved"] < 100
    (best,) = (row for row in report["meta_label"]["fees"][-3:] if row["name"] == "expected to pay")
    assert best["realised_bps"] - 2 * best["error_bps"] > 0
    fresh = build_dataset(drifting(WARMUP + 30 * 288, seed=9), ("AUSDT",), (HORIZON,), 6)
    labels, forecasts = direction_labels(fresh, HORIZON, COSTS), fitted.predict(fresh.features)
    known = labels >= 0
    forecasts, happened = forecasts[known], np.eye(3)[labels[known]]
    assert np.allclose(forecasts.sum(axis=1), 1.0, atol=1e-12)
    for column in (0, 1):
        order = np.argsort(forecasts[:, column])
        for part in np.array_split(order, 4):
            assert abs(forecasts[part, column].mean() - happened[part, column].mean()) < 0.12
    assert forecasts[:, 0].std() > 0.05
    assert np.corrcoef(forecasts[:, 0] - forecasts[:, 1], happened[:, 0] - happened[:, 1])[0, 1] > 0.15


def test_without_a_direction_each_side_has_half_the_touch_probability_and_the_report_has_it(driftless):
    fitted, report = driftless.estimator, driftless.report
    assert not fitted.directional
    assert "is a constant" in report["direction"]["words"]
    forecasts = fitted.predict(np.random.default_rng(0).normal(size=(50, len(FEATURE_NAMES))).astype(np.float32))
    assert np.array_equal(forecasts[:, 0], forecasts[:, 1])
    (cell,) = report["meta_label"]["cells"]
    assert abs(cell["gain_over_coin"]) < 4 * cell["accuracy_error"]
    assert cell["share_brier_saved"] < 4 * cell["share_brier_saved_error"]
    fees = report["meta_label"]["fees"]
    assert [row["fee_percent"] for row in fees] == pytest.approx([0.1] * 3 + [0.075] * 3 + [0.02] * 3)
    assert {row["name"] for row in fees} == {"every side", "approved sides", "expected to pay"}
    every = [row for row in fees if row["name"] == "every side"]
    assert every[0]["realised_bps"] < every[2]["realised_bps"] < 0
    assert set(report["uniqueness"]) == set(UNIQUENESS)


def test_sides_of_training_rows_are_out_of_fold(rows):
    found, labels = rows
    sides = out_of_fold_sides(found, labels, PLAN)
    assert set(np.unique(sides)) <= {-1, 1}
    right = (sides > 0) == (labels == Direction.BUY)
    error = 0.5 / np.sqrt(len(found))
    assert abs(right.mean() - 0.5) < 4 * error
    # The same primary model on its own training rows, as with a leak.
    own = (sides_of(fit_primary(found.features, labels, PLAN), found.features) > 0) == (labels == Direction.BUY)
    assert own.mean() - 0.5 > 6 * error


def test_no_outcome_of_a_block_or_its_neighbours_reaches_the_sides_of_the_block(rows):
    found, labels = rows
    sides = out_of_fold_sides(found, labels, PLAN)
    edges = np.linspace(found.open_time.min(), found.open_time.max() + 1, PLAN.cross_blocks + 1).astype(np.int64)
    for first, last in pairwise(edges):
        block = (found.open_time >= first) & (found.open_time < last)
        earliest, latest = found.open_time[block].min(), found.ends[block].max()
        near = (found.ends >= earliest) & (found.open_time <= latest + HORIZON * 300_000)
        assert near.sum() > block.sum()
        changed = np.where(near, 1 - labels, labels)
        assert np.array_equal(out_of_fold_sides(found, changed, PLAN)[block], sides[block])
        others = np.where(near, labels, 1 - labels)
        assert not np.array_equal(out_of_fold_sides(found, others, PLAN)[block], sides[block])


def test_the_meta_label_is_learned_on_sides_out_of_fold(rows, monkeypatch):
    found, _ = rows
    row_counts = []

    def spied(part, labels, plan):
        row_counts.append(len(part))
        return out_of_fold_sides(part, labels, plan)

    monkeypatch.setattr("modelregistry.training.fit.signal_classifier.out_of_fold_sides", spied)
    fitted = fit_direction(found, PLAN, list(FEATURE_NAMES), lambda _: None, horizon=HORIZON, costs=COSTS)
    assert len(row_counts) == 1
    assert 0.5 * len(found) < row_counts[0] < 0.61 * len(found)
    # In-sample sides would be right far more often than this.
    assert abs(fitted.hyperparameters["out_of_fold_accuracy"] - 0.5) < 0.12


@pytest.mark.parametrize("trusted", [True, False])
def test_a_touch_model_with_trust_is_refitted_on_all_rows(rows, monkeypatch, trusted):
    found, _ = rows
    module, fit, sizes = "modelregistry.training.fit.signal_classifier", boosting.fit, []

    def spied(matrix, *rest, **options):
        sizes.append(matrix.num_row())
        return fit(matrix, *rest, **options)

    monkeypatch.setattr(f"{module}.choose_trust", lambda losses, part, horizon: (float(trusted), 0.1 * trusted))
    monkeypatch.setattr(f"{module}.boosting.fit", spied)
    fitted = fit_direction(found, PLAN, list(FEATURE_NAMES), lambda _: None, horizon=HORIZON, costs=COSTS)
    labels, _ = direction_spans(found, HORIZON, COSTS)
    known = labels != Direction.UNKNOWN
    assert (known.sum() in sizes) is trusted
    assert max(size for size in sizes if size != known.sum()) < 0.61 * known.sum()
    assert fitted.base_rate == pytest.approx(rates_of(labels[known]))


def test_without_a_paying_row_there_is_no_side(rows):
    found, _ = rows
    fitted = fit_direction(found, PLAN, list(FEATURE_NAMES), lambda _: None, horizon=HORIZON, costs=0.9)
    assert fitted.meta_trust == 0.0
    forecasts = fitted.predict(found.features[:20])
    assert (forecasts[:, 2] > 0.99).all()
    collected = Collected()
    collect_meta_labels(collected, fitted, found.take(np.arange(400)), 0.9)
    (cell,) = meta_label_report(collected, found.stride)["cells"]
    assert cell["accuracy"] is None


def test_an_artifact_from_before_the_meta_label_is_refused_with_a_message():
    fitted = champions.estimator(KIND)
    files = fitted.to_files()
    old = files["parameters.json"].replace(b'"meta_trust":', b'"offset":')
    with pytest.raises(ValueError, match="train a new version"):
        SignalClassifier.from_files({**files, "parameters.json": old})
    assert SignalClassifier.from_files(files).to_files() == replace(fitted).to_files()
