"""Simulation of the halt of 2018-02-08: a cut candle, a day without any, then off-grid ones."""

import io
import json

import pytest
from django.core.management import call_command

from marketdata import services
from marketdata.coverage import gap_filling, halts
from marketdata.coverage.evidence import evidence_of
from marketdata.coverage.ledger import coverage_of
from marketdata.exchange.rest import RestSession
from marketdata.intervals import Gap
from marketdata.models import AbsentStretch, Candle, CutShortCandle, QuarantinedMessage, SuspectedStretch
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles, opens

BEGIN = START - 1_500 * STEP
CUT = BEGIN + 300 * STEP
"""The last candle before the halt; it ends after 194.788 s."""
RESUMED = CUT + 390 * STEP
ON_GRID = RESUMED + 500 * STEP
OFF_BY = 194.789


@pytest.fixture
def halted(exchange):
    exchange.faults.add(
        Fault("cut_short", symbol="BTCUSDT", at=CUT, until=CUT + STEP, seconds=194.788),
        Fault("hole", symbol="BTCUSDT", at=CUT + STEP, until=RESUMED),
        Fault("off_grid", symbol="BTCUSDT", at=RESUMED, until=ON_GRID, seconds=OFF_BY),
    )
    return exchange


def test_a_halt_is_recorded_at_once_and_a_second_backfill_has_nothing_to_do(halted, markets):
    report = services.backfill(markets[0], BEGIN, START)
    assert report.failures == {}
    ledger = coverage_of(markets[0], BEGIN, START)
    assert (ledger.missing, ledger.absent, ledger.cut_short) == (0, 389 + 500, 1)
    assert CUT in opens(markets[0])
    assert Candle.objects.get(market=markets[0], open_time=CUT).volume > 0
    assert services.backfill(markets[0], BEGIN, START).requests == 0
    assert not SuspectedStretch.objects.exists()


@pytest.mark.parametrize("from_ms", [BEGIN, CUT + STEP, CUT + 100 * STEP, RESUMED + 7 * STEP, ON_GRID - 3 * STEP])
def test_the_halt_is_recorded_wherever_a_span_begins_and_ends(halted, markets, from_ms):
    services.backfill(markets[0], BEGIN, CUT + 200 * STEP)
    services.backfill(markets[0], from_ms, ON_GRID + 20 * STEP)
    services.backfill(markets[0], BEGIN, START)
    assert coverage_of(markets[0], BEGIN, START).missing == 0


def test_rows_off_the_grid_are_quarantined_once_however_often_they_are_requested(halted, markets):
    services.backfill(markets[0], BEGIN, START)
    assert QuarantinedMessage.objects.count() == 500
    with RestSession() as session:
        for _ in range(2):
            gap_filling.fill(session, {markets[0]: [Gap(BEGIN, START)]}, gap_filling.SyncReport())
    assert QuarantinedMessage.objects.count() == 500
    assert {one.reason for one in QuarantinedMessage.objects.all()} == {halts.OFF_GRID}


def test_the_evidence_names_the_halt_also_after_a_re_read(halted, markets):
    services.backfill(markets[0], BEGIN, START)
    close_candles(halted, 1)
    with RestSession() as session:
        gap_filling.fill(session, {markets[0]: [Gap(BEGIN, START)]}, gap_filling.SyncReport())
    *_, first = evidence_of(markets[0]).absences  # a page ends within the halt, so it is recorded in two parts
    assert first.reason.startswith("the exchange was halted: the candle before closed early, at ")
    assert "candles open off the 5-minute grid, the first at 2024-12-" in first.reason
    assert all("the exchange was halted" in absence.reason for absence in evidence_of(markets[0]).absences)
    (cut,) = evidence_of(markets[0]).cut_short
    assert (cut.closed_at - cut.open_time).total_seconds() == pytest.approx(194.787)
    out = io.StringIO()
    call_command("candles_quality", "--symbols", "BTCUSDT", "--evidence", stdout=out)
    assert "cut short" in out.getvalue()
    out = io.StringIO()
    call_command("candles_quality", "--symbols", "BTCUSDT", "--json", stdout=out)
    assert json.loads(out.getvalue())["evidence"]["cut_short"][0]["origin"] == "rest"


def test_a_candle_that_turns_out_complete_is_unmarked(exchange, markets):
    exchange.faults.add(Fault("cut_short", symbol="BTCUSDT", at=CUT, until=CUT + STEP, seconds=100))
    services.backfill(markets[0], BEGIN, BEGIN + 400 * STEP)
    assert CutShortCandle.objects.count() == 1
    exchange.faults.clear()
    with RestSession() as session:
        gap_filling.fill(session, {markets[0]: [Gap(CUT, CUT + STEP)]}, gap_filling.SyncReport())
    assert not CutShortCandle.objects.exists()


def test_an_unexplained_hole_needs_repeated_attempts(exchange, markets):
    exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=CUT, until=CUT + 5 * STEP))
    services.backfill(markets[0], BEGIN, START)
    assert not AbsentStretch.objects.exists()
    assert coverage_of(markets[0], BEGIN, START).missing == 5


def test_a_page_with_a_refused_row_still_reviews_its_absences(exchange, markets):
    for start, end in ((CUT, CUT + 4 * STEP), (CUT + 20 * STEP, CUT + 22 * STEP)):
        AbsentStretch.objects.create(
            market=markets[0], start=start, end=end, evidence={"attempts": [{"market_ms": BEGIN}]}
        )
        exchange.faults.add(Fault("hole", symbol="BTCUSDT", at=start, until=start + 2 * STEP))
    bad = CUT + 10 * STEP
    exchange.faults.add(Fault("broken_row", symbol="BTCUSDT", at=bad, until=bad + STEP))
    with RestSession() as session:
        report = gap_filling.SyncReport()
        gap_filling.fill(session, {markets[0]: [Gap(BEGIN, BEGIN + 900 * STEP)]}, report)
    assert "1 rows refused" in report.failures["BTCUSDT"]
    appeared, still_absent = AbsentStretch.objects.all()
    assert (appeared.start, appeared.end) == (CUT, CUT + 2 * STEP), "candles that appeared are no longer absent"
    assert len(still_absent.evidence["attempts"]) == 2, "a candle missing again has one more attempt"
    assert not SuspectedStretch.objects.exists(), "the place of a refused row is not suspected"
    assert bad not in opens(markets[0])
