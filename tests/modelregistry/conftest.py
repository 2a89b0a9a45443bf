"""Each test has a folder of models and a memory of its own."""

import pytest

from modelregistry import registry


@pytest.fixture(autouse=True)
def model_folder(tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    registry.forget()
    yield settings.MODEL_PATH
    registry.forget()
