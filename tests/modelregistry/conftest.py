"""Each test has a folder of models and a memory of its own."""

import pytest

from modelregistry import registry


@pytest.fixture(autouse=True)
def model_folder(tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    registry.unload_all()
    yield settings.MODEL_PATH
    registry.unload_all()
