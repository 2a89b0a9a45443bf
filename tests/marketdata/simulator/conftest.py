"""Fixture: a simulated exchange whose time moves only on request."""

import pytest

from marketdata.simulator import SimulatedExchange

START = 1_704_067_200_000


@pytest.fixture
def exchange():
    with SimulatedExchange(seed=1, speed=0, begin_at=START) as running:
        yield running
