"""A backfill before the listing or after the delisting of a market reports the date."""

import io

import numpy as np
import pytest
from django.core.management import call_command

from marketdata import services
from marketdata.coverage.ledger import coverage_of
from marketdata.models import AbsentStretch, Market
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.server import SimulatedExchange
from marketdata.simulator.klines import Klines
from marketdata.simulator.recorded.replay import Replay
from tests.marketdata.conftest import STEP

LISTED = 1_700_000_100_000
N_CANDLES = 1_200


@pytest.fixture
def new_market(settings, db):
    """An exchange with a market whose candles begin at a replayed file's first row."""
    ones = np.full(N_CANDLES, 5.0)
    whole = np.full(N_CANDLES, 7)
    opens = LISTED + STEP * np.arange(N_CANDLES)
    source = Replay(
        {"NEWUSDT": Klines(opens, ones, ones, ones, ones, ones, ones, whole, ones, ones)},
        start_ms=int(opens[-2]), anchor_ms=int(opens[-2]),
    )  # fmt: skip
    with SimulatedExchange(source=source, speed=0, begin_at=int(opens[-1]) + 10_000) as running:
        settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = running.base_url, running.stream_url
        running.market = Market.objects.create(symbol="NEWUSDT", source="simulated")
        yield running


def backfill(from_ms, until_ms):
    out = io.StringIO()
    call_command("backfill_candles", "--from", str(from_ms), "--until", str(until_ms), stdout=out)
    return out.getvalue()


def test_before_the_listing_candles_are_absent_and_the_date_is_reported(new_market):
    output = backfill(LISTED - 3_000 * STEP, LISTED + 100 * STEP)
    assert "the exchange lists it since 2023-11-14 22:15 UTC: there is nothing before" in output
    assert "complete; 3,100 expected, 100 stored, 0 missing, 3,000 absent" in output
    assert "the exchange lists it since 2023-11-14 22:15 UTC" in backfill(LISTED - 3_000 * STEP, LISTED + 100 * STEP)
    assert services.backfill(new_market.market, LISTED - 3_000 * STEP, LISTED + 100 * STEP).requests == 0


def test_a_span_wholly_before_the_listing(new_market):
    assert "lists it since 2023-11-14 22:15 UTC" in backfill(LISTED - 500 * STEP, LISTED - 100 * STEP)
    assert coverage_of(new_market.market, LISTED - 500 * STEP, LISTED - 100 * STEP).missing == 0


@pytest.mark.parametrize(("days", "absent"), [(2, True), (0, False)])
def test_after_the_end_of_trading_the_last_candle_is_reported(exchange, markets, days, absent):
    ended = exchange.now_ms() // STEP * STEP - (days * 288 + 20) * STEP
    exchange.faults.add(Fault("halted", symbol="BTCUSDT", at=ended))
    err = io.StringIO()
    arguments = ["--symbols", "BTCUSDT", "--from", str(ended - 50 * STEP)]
    call_command("backfill_candles", *arguments, "--until", str(ended + 15 * STEP), stdout=io.StringIO(), stderr=err)
    assert "BTCUSDT: the exchange stopped it (BREAK): its last candle opened at 202" in err.getvalue()
    assert AbsentStretch.objects.exists() is absent
    assert services.market_of("BTCUSDT").candles.count() == 50
