"""Champions of the tests of the live path."""

from tests.champions import artifact_folder, champions, fresh_engine

__all__ = ["artifact_folder", "champions", "fresh_engine"]
