"""Backfill of many markets within the request budget, with errors by market, and re-reading."""

import io

import pytest
from django.core.management import CommandError, call_command

from marketdata import clock, services
from marketdata.coverage import backfill
from marketdata.coverage.ledger import coverage_of
from marketdata.errors import ExchangeUnavailable
from marketdata.exchange import rate_limit
from marketdata.models import AbsentStretch, Candle, CandleRevision, ExchangeState, Market
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.limits import Limits
from marketdata.simulator.http.server import SimulatedExchange
from tests.marketdata.conftest import START, STEP, close_candles

BEGIN = START - 2500 * STEP


def test_pages_alternate_between_markets_and_all_are_filled(exchange, markets):
    pages = backfill.plan(markets, BEGIN, START)
    assert [page.symbol for page in pages] == ["BTCUSDT", "ETHUSDT"] * 3
    seen = []
    report = services.backfill(markets, BEGIN, START, lambda done, total: seen.append((done, total)))
    assert (report.requests, report.saved) == (6, (5000, 0, 0))
    assert seen[0] == (0, 5000)
    assert seen[-1] == (5000, 5000)
    assert services.backfill(markets, BEGIN, START).requests == 0


def test_only_missing_candles_are_requested(exchange, markets):
    services.backfill(markets, BEGIN, START)
    Candle.objects.filter(market=markets[1], open_time__range=(BEGIN + 40 * STEP, BEGIN + 49 * STEP)).delete()
    report = services.backfill(markets, BEGIN, START)
    assert (report.requests, report.saved.inserted) == (1, 10)


def test_a_refused_market_does_not_stop_the_others(exchange, markets, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_PAGES", 2)
    unknown = Market.objects.create(symbol="NOPEUSDT", source="simulated")
    report = services.backfill([unknown, *markets], BEGIN, START)
    assert list(report.failures) == ["NOPEUSDT"]
    assert report.saved.inserted == 5000
    assert report.requests == 7, "a refused market is not requested again"


def test_the_budget_follows_the_exchange_s_limit_without_a_feed(settings, markets):
    with SimulatedExchange(
        ["BTCUSDT", "ETHUSDT"], seed=3, speed=0, begin_at=START, limits=Limits(weight_per_minute=1_200)
    ) as strict:
        settings.BINANCE_API_URL = strict.base_url
        unknown = Market.objects.create(symbol="NOPEUSDT", source="simulated")
        services.backfill([unknown, *markets], START - 5 * STEP, START)
    assert rate_limit.limit() == 1_200


def test_after_an_outage_fetched_candles_are_stored_and_the_next_run_continues(exchange, markets, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_PAGES", 2)
    exchange.faults.add(Fault("server_error", path="klines", symbol="ETHUSDT"))
    with pytest.raises(ExchangeUnavailable):
        services.backfill(markets, BEGIN, START)
    assert Candle.objects.filter(market=markets[0]).count() == 1000
    exchange.faults.clear()
    services.backfill(markets, BEGIN, START)
    assert Candle.objects.count() == 5000


def test_the_command_estimates_first_and_ends_with_the_coverage(exchange, markets):
    Market.objects.create(symbol="NOPEUSDT", source="simulated")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="1 of 3 markets could not be filled"):
        call_command("backfill_candles", "--from", "2024-12-30", "--until", "2025-01-01", stdout=out, stderr=err)
    lines = out.getvalue().splitlines()
    assert lines[0] == "3 requests for 3 markets: 0.0 minutes or more"
    assert "BTCUSDT 5m (simulated): complete; 576 expected, 576 stored, 0 missing, 0 absent" in lines
    assert "NOPEUSDT 5m (simulated): not complete; 576 expected, 0 stored, 576 missing, 0 absent" in lines
    assert "2 of 3 markets are complete from 2024-12-30 00:00 until 2025-01-01 00:00 UTC" in lines
    assert "NOPEUSDT" in err.getvalue()


def test_older_candles_are_re_read_daily_and_a_correction_becomes_a_revision(exchange, markets, monkeypatch):
    services.backfill(markets, BEGIN, START)
    wrong = [BEGIN + 3 * STEP, START - 5 * STEP]
    for open_time in wrong:
        candle = Candle.objects.get(market=markets[0], open_time=open_time)
        candle.volume += 1
        candle.save()
    monkeypatch.setattr(backfill, "DAY_MS", STEP)
    read = services.re_read(markets)
    assert (read.requests, read.failures) == (4, {})
    exchange.advance_to(exchange.now_ms() + STEP)
    clock.clear_cached_reading()
    services.re_read(markets)
    assert sorted(CandleRevision.objects.values_list("open_time", flat=True)) == wrong
    assert services.re_read([Market.objects.create(symbol="NEWUSDT", source="simulated")]).requests == 0


def test_a_year_of_five_hundred_markets_takes_longer_than_half_an_hour_within_half_the_limit(db):
    ExchangeState.objects.create(pk=1, weight_limit=6000)
    assert backfill.minutes_of(500 * 106, rate_limit.limit()) > 35


def test_an_old_unconfirmed_hole_is_requested_and_becomes_absent_or_filled(exchange, markets, monkeypatch):
    """As after an import: older than the live window, and not yet requested."""
    monkeypatch.setattr(services, "LIVE_WINDOW", 20)
    services.backfill(markets, BEGIN, START)
    lost, never = BEGIN + 40 * STEP, BEGIN + 700 * STEP
    Candle.objects.filter(market=markets[0], open_time__in=[lost, never, never + STEP]).delete()
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=never, until=never + 2 * STEP))
    monkeypatch.setattr(backfill, "RE_READ_MS", 10 * STEP)
    services.sweep_quality(markets)
    assert coverage_of(markets[0]).missing == 3
    services.re_read(markets)
    assert coverage_of(markets[0]).missing == 2
    for _ in range(2):
        close_candles(exchange, 1)
        services.sweep_quality(markets)
    (stretch,) = AbsentStretch.objects.all()
    assert (stretch.start, stretch.end) == (never, never + 2 * STEP)
    assert len(stretch.evidence["attempts"]) == 3
    assert coverage_of(markets[0]).missing == 0
    assert services.re_read(markets).absent == 0


def test_old_holes_are_requested_in_limited_numbers_a_day(exchange, markets, monkeypatch):
    services.backfill(markets, BEGIN, START)
    Candle.objects.filter(open_time__range=(BEGIN + STEP, BEGIN + 400 * STEP), pk__in=every_other()).delete()
    monkeypatch.setattr(backfill, "OLD_HOLE_PAGES", 5)
    monkeypatch.setattr(backfill, "RE_READ_MS", 10 * STEP)
    requests = services.re_read(markets).requests
    assert requests <= 5 + 2 * len(markets)


def every_other():
    return [pk for pk in Candle.objects.values_list("pk", flat=True) if pk % 2]
