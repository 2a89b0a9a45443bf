"""Each test has its own model folder and no loaded estimators."""

import pytest

from marketdata.process_state import process_state
from modelregistry.artifacts.verification import Verdicts
from modelregistry.registry.serving import LoadedVersions


@pytest.fixture(autouse=True)
def model_folder(tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    process_state.drop(LoadedVersions, Verdicts)
    yield settings.MODEL_PATH
    process_state.drop(LoadedVersions, Verdicts)
