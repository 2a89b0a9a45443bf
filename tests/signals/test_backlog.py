"""Signals only for candles that are closed in market time and confirmed by the exchange."""

from decimal import Decimal

import pytest

from marketdata import clock, services
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, CandleRevision
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.server import SimulatedExchange
from marketdata.storage import candles
from predictions.models import PredictionLog
from signals import backlog
from signals import services as signals
from signals.models import SignalLog
from tests.champions import BEGIN, STEP, at_close_of, make_markets, store_candles

YEAR_2027 = 1_799_539_200_000
YEAR_2099 = 4_070_908_800_000
NEWEST = BEGIN - STEP


def import_candle(market, open_time, close="5.2"):
    prices = (Decimal(price) for price in ("5.1", "5.3", "5.0", close))
    candles.save_candles(market, [CandleRow(open_time, *prices, Decimal(1))], Candle.Origin.IMPORT)


def signal_opens(market):
    return [clock.to_ms(row.candle_time) for row in SignalLog.objects.filter(market=market).order_by("seq")]


@pytest.fixture
def no_sync(monkeypatch):
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)


def advance(open_ms):
    with clock.use(at_close_of(open_ms, 1.0)):
        return signals.advance()


@pytest.mark.parametrize("ahead", [NEWEST + 10 * STEP, YEAR_2027, YEAR_2099])
def test_a_candle_in_the_future_gives_no_signal_and_blocks_no_market(champions, no_sync, ahead):
    markets = make_markets()
    import_candle(markets[0], ahead)
    advance(NEWEST)
    for market in markets:
        store_candles(market, BEGIN, 3)
    for k in range(3):
        advance(BEGIN + k * STEP)
    for market in markets:
        market.refresh_from_db()
        assert signal_opens(market) == [NEWEST + k * STEP for k in range(4)]
        assert clock.to_ms(market.live_since) == NEWEST
    assert not PredictionLog.objects.filter(candle_time__gte=clock.to_datetime(ahead)).exists()


def test_a_signal_for_2099_of_an_earlier_release_hides_no_candle(champions, no_sync):
    markets = make_markets()
    import_candle(markets[0], YEAR_2099)
    advance(NEWEST)
    row = SignalLog.objects.get(market=markets[0])
    SignalLog.objects.filter(pk=row.pk).update(candle_time=clock.to_datetime(YEAR_2099))
    with clock.use(at_close_of(NEWEST, 1.0)):
        assert backlog.newest_pending(markets) == {markets[0]: [NEWEST]}


def test_a_market_behind_the_others_has_its_own_last_day(champions, no_sync):
    markets = make_markets()
    advance(NEWEST)
    store_candles(markets[0], BEGIN, 600)
    store_candles(markets[1], BEGIN, 2)
    with clock.use(at_close_of(BEGIN + 599 * STEP, 1.0)):
        assert backlog.newest_pending(markets)[markets[1]] == [BEGIN, BEGIN + STEP]


@pytest.fixture
def exchange(settings, champions):
    """Simulated exchange, stopped at the newest candle of two markets, live since the one before."""
    with SimulatedExchange(["BTCUSDT", "ETHUSDT"], seed=3, speed=0, begin_at=BEGIN + 10_000) as running:
        settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = running.base_url, running.stream_url
        running.markets = make_markets()
        signals.advance()
        running.advance_to(BEGIN + STEP + 10_000)
        yield running


def test_an_imported_candle_gives_no_signal_before_the_exchange_has_revised_it(exchange):
    market = exchange.markets[0]
    import_candle(market, BEGIN)
    signals.advance()
    true_close = Candle.objects.get(market=market, open_time=BEGIN).close
    assert true_close != Decimal("5.2")
    assert SignalLog.objects.get(market=market, candle_time=clock.to_datetime(BEGIN)).entry_price == true_close
    assert set(
        PredictionLog.objects.filter(candle_time=clock.to_datetime(BEGIN), market=market).values_list(
            "current_price", flat=True
        )
    ) == {true_close}
    written = SignalLog.objects.get(market=market, candle_time=clock.to_datetime(BEGIN)).created_at
    assert CandleRevision.objects.get(market=market).seen_at < written


def test_an_imported_candle_waits_while_the_exchange_fails(exchange):
    market = exchange.markets[0]
    services.sync_candles(exchange.markets)  # reads the clock; the candles are deleted again
    Candle.objects.filter(open_time=BEGIN).delete()
    import_candle(market, BEGIN)
    exchange.faults.add(Fault("server_error", path="klines"))
    signals.advance()
    assert signal_opens(market) == [NEWEST]
    assert clock.to_ms(signals.newest_signal(market.symbol, 0.0).candle_time) == NEWEST
    exchange.faults.clear()
    signals.advance()
    assert signal_opens(market) == [NEWEST, BEGIN]
    row = SignalLog.objects.get(market=market, candle_time=clock.to_datetime(BEGIN))
    assert row.entry_price == Candle.objects.get(market=market, open_time=BEGIN).close != Decimal("5.2")


def test_a_candle_that_is_never_confirmed_becomes_a_late_hold(exchange):
    market = exchange.markets[0]
    import_candle(market, BEGIN)
    exchange.faults.add(Fault("server_error", path="klines"))
    for jump in (1, 1, 280, 10):
        signals.advance()
        assert signal_opens(market) == [NEWEST]
        exchange.advance_to(exchange.now_ms() + jump * STEP)
    signals.advance()
    assert signal_opens(market) == [NEWEST, BEGIN]
    row = SignalLog.objects.get(market=market, candle_time=clock.to_datetime(BEGIN))
    assert (row.signal_type, "LATE" in row.reasons) == ("hold", True)


def test_an_imported_candle_before_the_newest_one_is_confirmed_in_the_same_advance(exchange):
    market = exchange.markets[0]
    signals.advance()
    exchange.advance_to(exchange.now_ms() + STEP)
    Candle.objects.filter(market=market, open_time=BEGIN).update(
        origin=Candle.Origin.IMPORT, close="99999.0", high="99999.0"
    )
    signals.advance()
    held = Candle.objects.get(market=market, open_time=BEGIN)
    assert (held.origin, held.revision) == ("rest", 1)
