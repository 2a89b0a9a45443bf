"""Each test has its own model folder and no loaded estimators."""

import pytest

from modelregistry import registry


@pytest.fixture(autouse=True)
def model_folder(tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    registry.unload_all()
    yield settings.MODEL_PATH
    registry.unload_all()
