"""Fixtures: a simulated exchange whose time moves only on request, and settings that use it."""

import pytest

from marketdata import clock, services
from marketdata.exchange.rate_limit import LocalBan
from marketdata.models import Candle, Market
from marketdata.process_state import process_state
from marketdata.simulator.http.server import SimulatedExchange

START = 1_735_689_600_000
STEP = 300_000


@pytest.fixture(autouse=True)
def _no_reading_from_another_test():
    clock.clear_cached_reading()
    process_state.drop(LocalBan, services.CheckedUntil)
    yield
    clock.clear_cached_reading()
    process_state.drop(LocalBan, services.CheckedUntil)


@pytest.fixture
def exchange(settings):
    """Two generated symbols, ten seconds into 2025; `close_candles` advances time."""
    with SimulatedExchange(["BTCUSDT", "ETHUSDT"], seed=3, speed=0, begin_at=START + 10_000) as running:
        settings.BINANCE_API_URL = running.base_url
        settings.BINANCE_STREAM_URL = running.stream_url
        yield running


def close_candles(exchange, count):
    """Close `count` more candles and let ten seconds pass."""
    exchange.advance_to(exchange.now_ms() + count * STEP)


@pytest.fixture
def markets(db):
    return [Market.objects.create(symbol=symbol, source="simulated") for symbol in ("BTCUSDT", "ETHUSDT")]


@pytest.fixture
def short_window(monkeypatch):
    """A live window that is filled by one page."""
    monkeypatch.setattr(services, "LIVE_WINDOW", 300)


def opens(market):
    return list(Candle.objects.filter(market=market).order_by("open_time").values_list("open_time", flat=True))
