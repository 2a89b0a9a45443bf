"""A new engine for each test, with champions where a test asks for them."""

import pytest

from tests.champions import artifact_folder, champions, fresh_engine  # noqa: F401


@pytest.fixture(autouse=True)
def _each_test_starts_anew(fresh_engine):  # noqa: F811
    """Nothing is remembered from the test before."""
