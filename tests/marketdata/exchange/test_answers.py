"""Invalid responses of the exchange are neither stored nor a reason to suspend a market."""

import pytest

from marketdata import clock, services
from marketdata.errors import ExchangeUnavailable
from marketdata.exchange import rate_limit
from marketdata.models import Candle, ExchangeState, QuarantinedMessage
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles, opens

pytestmark = pytest.mark.usefixtures("short_window")


@pytest.mark.parametrize("status", [400, 404, 451])
def test_a_fault_of_the_exchange_suspends_no_market_whatever_its_status(exchange, markets, status):
    exchange.faults.add(Fault("server_error", path="klines", status=status, times=30))
    report = services.sync_candles(markets)
    assert set(report.failures) == {"BTCUSDT", "ETHUSDT"}
    assert not any(market.quarantined_until for market in services.enabled_markets())
    exchange.faults.clear()
    assert services.sync_candles(services.enabled_markets()).failures == {}


def test_no_request_is_sent_during_a_ban_even_after_a_restart(exchange, markets):
    exchange.faults.add(Fault("rate_limited", seconds=120, times=1, path="klines"))
    report = services.sync_candles(markets)
    assert report.failures
    assert ExchangeState.objects.get().banned_until_ms > clock.wall_ms() + 100_000
    used = exchange.meter.highest_used
    clock.clear_cached_reading()
    assert "exchange" in services.sync_candles(markets).failures
    assert exchange.meter.highest_used == used
    with pytest.raises(ExchangeUnavailable):
        rate_limit.reserve(1)


@pytest.mark.parametrize("kind", ["server_error", "html", "truncated", "refused", "forbidden"])
def test_an_invalid_response_loses_nothing_and_is_requested_again(exchange, markets, kind):
    exchange.faults.add(Fault(kind, path="klines", times=30))
    report = services.sync_candles(markets)
    assert set(report.failures) == {"BTCUSDT", "ETHUSDT"}
    exchange.faults.clear()
    assert services.sync_candles(markets).failures == {}
    assert len(opens(markets[1])) == services.LIVE_WINDOW


def test_wrong_pages_are_quarantined_and_never_stored(exchange, markets):
    exchange.faults.add(Fault("microseconds", path="klines", times=30))
    services.sync_candles(markets)
    assert not Candle.objects.exists()
    assert QuarantinedMessage.objects.filter(reason__contains="2017 and 2100").exists()


def test_a_clock_in_microseconds_is_refused_and_closes_no_candle(exchange, markets):
    services.sync_candles(markets)
    exchange.faults.add(Fault("microseconds", path="time", times=30))
    close_candles(exchange, 1)
    clock.record_reading(clock.Reading(0, 0))  # an old one, so that the clock is read again
    report = services.sync_candles(markets)
    assert "not in milliseconds" in report.failures["exchange"]
    assert clock.market_ms() < 4_102_444_800_000
    assert opens(markets[0])[-1] == START - STEP
    exchange.faults.clear()
    assert services.sync_candles(markets).failures == {}
    assert opens(markets[0])[-1] == START
