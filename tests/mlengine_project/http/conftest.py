"""A running engine: two markets, champions, one candle processed."""

import pytest

from marketdata import clock
from signals import services as signals
from tests.champions import BEGIN, STEP, artifact_folder, at_close_of, champions, fresh_engine, make_markets  # noqa: F401

NEWEST = BEGIN - STEP


@pytest.fixture
def engine(champions):  # noqa: F811
    """The markets of an engine that has just advanced; the clock is frozen one second after the close."""
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)) as frozen:
        signals.advance(markets)
        markets[0].frozen = frozen
        yield markets
