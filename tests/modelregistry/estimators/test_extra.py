"""Estimators of other packages: found, trained on the same folds, stored, verified in a child and loaded."""

import numpy as np
import pytest

from modelregistry import artifacts
from modelregistry.artifacts import loading
from modelregistry.errors import ModelLoadError, TrainingError
from modelregistry.estimators import extra
from modelregistry.estimators.extra import ExtraOdds, find_estimators
from modelregistry.estimators.kinds import KINDS
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.training.pipeline import TrainingRequest, train_kinds
from modelregistry.training.workers import Workers
from tests.modelregistry import extra_estimators as package
from tests.modelregistry import invented
from tests.modelregistry.training.test_pipeline import CANDLES, HORIZONS, PLAN

PATH = package.__name__
CLASSES = {one.kind: one for one in (package.ConstantRange, package.ConstantScale, package.ConstantShares)}


@pytest.fixture(autouse=True)
def installed():
    """Install the estimators of the package for one test."""
    extra.install(find_estimators([f"{PATH}.{one.__name__}" for one in CLASSES.values()], KINDS))
    yield
    extra.install({})


def request(*classes):
    grid = invented.grid(CANDLES, markets=2, seed=0)
    kinds = tuple(one.kind for one in classes)
    by_kind = {one.kind: one for one in classes}
    return TrainingRequest(grid, ("AUSDT", "BUSDT"), "simulated", kinds, HORIZONS, PLAN, costs=0.0021, extra=by_kind)


@pytest.fixture(scope="module")
def trained():
    return train_kinds(request(*CLASSES.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_stored_verified_in_the_child_and_loaded_with_the_same_outputs(trained, kind):
    one = trained[kind]
    assert one.manifest_fields["hyperparameters"]["estimator"] == CLASSES[kind].name
    digest = artifacts.write_artifact(kind, one.estimator.to_files(), one.manifest_fields, one.golden_rows)
    artifacts.verify_in_child(kind, digest)
    loaded = loading.load_serving(artifacts.read_artifact(kind, digest))
    assert loaded.to_files() == one.estimator.to_files()
    assert "constant.json" in loaded.to_files()


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_is_reported_and_refused_by_the_gate(trained, kind):
    assert trained[kind].report["cells"]
    assert not trained[kind].verdict.accepted
    assert trained[kind].verdict.reasons


def test_it_needs_its_class_to_be_loaded(trained):
    one = trained["range_predictor"]
    digest = artifacts.write_artifact("range_predictor", one.estimator.to_files(), one.manifest_fields, one.golden_rows)
    extra.install({})
    with pytest.raises(ModelLoadError, match="its estimator 'constant-range' is not among EXTRA_ESTIMATORS"):
        loading.load_serving(artifacts.read_artifact("range_predictor", digest))
    with pytest.raises(ModelLoadError, match="'constant-range' is not installed"):
        artifacts.verify_in_child("range_predictor", digest)


def test_other_processes_fit_the_same_bytes(trained):
    again = train_kinds(request(package.ConstantRange), workers=Workers(2))["range_predictor"]
    assert again.estimator.to_files() == trained["range_predictor"].estimator.to_files()
    assert again.golden_rows == trained["range_predictor"].golden_rows


def test_forecasts_of_another_shape_end_the_training_by_name():
    with pytest.raises(TrainingError, match=r"estimator misshapen .*shape \(.*, 2, 2, 5\), expected"):
        train_kinds(request(package.Misshapen))


def test_class_probabilities_come_back_from_their_odds():
    class Fixed(package.ConstantShares):
        pass

    shares = np.array([0.2, 0.1, 0.7])
    estimator = Fixed(shares)
    parts = [ExtraOdds(estimator, question) for question in ("touch", "primary", "meta")]
    fitted = SignalClassifier(18, *parts, np.full(3, 1 / 3), 1.0, 1.0, None, 4)
    assert fitted.predict(np.zeros((2, 4), dtype=np.float32)) == pytest.approx(np.stack([shares] * 2))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nowhere.Trees"], "nowhere.Trees cannot be imported"),
        ([f"{PATH}.Incomplete"], "lacks fit, predict, to_files, from_files"),
        ([f"{PATH}.ConstantRange"] * 2, "is called 'constant-range' like another"),
    ],
)
def test_classes_that_cannot_be_used_are_refused_by_name(names, message):
    with pytest.raises(ValueError, match=message):
        find_estimators(names, KINDS)
    with pytest.raises(ValueError, match="is of kind 'range_predictor'; there are none"):
        find_estimators([f"{PATH}.ConstantRange"], ["none"])
