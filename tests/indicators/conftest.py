"""These tests are about our own features, whatever else is installed."""

import pytest

from indicators.features import FeatureSet, feature_set


@pytest.fixture(autouse=True)
def _own_features(monkeypatch):
    monkeypatch.setattr(feature_set, "_installed", FeatureSet())
