"""Fixtures: fresh process state for each test, and champions on request."""

import pytest

from tests.champions import artifact_folder, champions, fresh_engine  # noqa: F401


@pytest.fixture(autouse=True)
def _fresh_state(fresh_engine):  # noqa: F811
    """Reset the process state before and after each test."""
