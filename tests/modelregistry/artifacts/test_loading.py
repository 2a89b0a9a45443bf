"""Versions find their own columns among those an installation computes, or refuse by name."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.features import FEATURE_NAMES, FeatureSet, feature_set
from indicators.features.feature_set import columns_digest
from modelregistry import artifacts, registry
from modelregistry.artifacts import loading
from modelregistry.errors import ModelLoadError
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import KINDS, reading
from tests.modelregistry import champions

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(5, len(FEATURE_NAMES))).astype(np.float32)


def one_more(window):
    yield "one_more", window.level


def another(window):
    yield "another", window.level


@pytest.fixture
def install(monkeypatch):
    """Install families for one test."""
    return lambda *families: monkeypatch.setattr(feature_set, "_installed", FeatureSet(families))


def outputs(estimator, features):
    return estimator.outputs(ModelInputs(features, np.linspace(100, 101, 5), np.full(5, 0.001)))


def read(kind, digest):
    return artifacts.read_artifact(kind, digest)


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_answers_alike_beside_other_columns(kind, install):
    artifact = read(kind, champions.write(kind))
    alone = loading.load_serving(artifact)
    install(one_more, another)
    beside = loading.load_serving(artifact)
    wide = np.column_stack([ROWS, np.full((5, 2), np.nan, dtype=np.float32)])
    for name, values in outputs(alone, ROWS).items():
        assert (outputs(beside, wide)[name] == values).all(), name
    assert (beside.novelty.distance(wide) == alone.novelty.distance(ROWS)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_chosen_by_position_in_any_order(kind):
    fitted = champions.estimator(kind)
    fitted = replace(fitted, novelty=champions.often_flagging_novelty(fitted.novelty.guard))
    order = RNG.permutation(len(FEATURE_NAMES))
    shuffled = np.empty_like(ROWS)
    shuffled[:, order] = ROWS
    chosen = reading(fitted, order.tolist(), len(order))
    for name, values in outputs(fitted, ROWS).items():
        assert (outputs(chosen, shuffled)[name] == values).all(), name
    assert (chosen.novelty.distance(shuffled) == fitted.novelty.distance(ROWS)).all()
    assert reading(fitted, range(len(order)), len(order)) is fitted


def trained_with(family, kind="range_predictor"):
    """Digest of an artifact whose last column is that of a family."""
    features = FeatureSet((family,))
    names = [*FEATURE_NAMES[:-1], *features.extra_names]
    fields = {
        "features": names,
        "feature_definitions": features.definitions,
        "feature_hash": columns_digest(names, features.definitions),
    }
    fitted = champions.estimator(kind)
    return artifacts.write_artifact(kind, fitted.to_files(), fields, champions.golden(fitted))


def test_a_version_with_a_column_of_another_package_needs_it(install):
    digest = trained_with(one_more)
    artifacts.verify_in_child("range_predictor", digest)  # verification computes no feature
    artifact = read("range_predictor", digest)
    with pytest.raises(ModelLoadError, match=r"reads one_more, which .*test_loading.one_more to EXTRA_FEATURES"):
        loading.load_serving(artifact)
    install(another, one_more)
    fitted = loading.load_serving(artifact)
    assert fitted.columns.tolist() == [*range(len(FEATURE_NAMES) - 1), len(FEATURE_NAMES) + 1]


def test_another_definition_under_the_same_name_is_refused(install):
    def other(window):
        yield "one_more", 2 * window.level

    install(other)
    with pytest.raises(ModelLoadError, match="reads one_more, which this installation defines otherwise"):
        loading.load_serving(read("range_predictor", trained_with(one_more)))


def test_a_version_of_fewer_columns_of_ours_is_used():
    names = list(FEATURE_NAMES)[::-1]
    fitted = champions.estimator("range_predictor")
    fields = {"features": names, "feature_hash": columns_digest(names, {})}
    digest = artifacts.write_artifact("range_predictor", fitted.to_files(), fields, champions.golden(fitted))
    assert loading.load_serving(read("range_predictor", digest)).columns.tolist() == list(range(len(names)))[::-1]


@pytest.mark.django_db
def test_a_version_that_cannot_be_computed_is_not_promoted(model_folder, install):
    install(one_more)
    version = champions.candidate()
    version.digest = trained_with(one_more)
    version.save()
    install()
    with pytest.raises(ModelLoadError, match="reads one_more"):
        registry.promote(version, "olga", "better")
    install(one_more)
    registry.promote(version, "olga", "better")
    install()
    (sentence,) = registry.serving.unusable_champions()
    assert "reads one_more, which this installation does not compute" in sentence
