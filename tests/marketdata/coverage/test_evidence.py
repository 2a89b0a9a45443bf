"""The evidence found the counts of the ledger: requests, revisions and refusals."""

import io
import json

from django.core.management import call_command

from marketdata import services
from marketdata.coverage import backfill
from marketdata.coverage.evidence import evidence_of
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP, close_candles

HOLE = START - 5 * STEP


def sync_with_faults(exchange, markets, monkeypatch):
    """Sync with a hole, a correction and an invalid page."""
    monkeypatch.setattr(services, "LIVE_WINDOW", 20)
    exchange.faults.add(
        Fault("hole", symbol="BTCUSDT", at=HOLE, until=HOLE + STEP),
        Fault("correction", symbol="BTCUSDT", at=START, until=START + STEP, seconds=200),
        Fault("html", symbol="BTCUSDT", path="klines", times=1),
    )
    services.sync_candles(markets)
    close_candles(exchange, 1)
    services.sync_candles(markets)
    close_candles(exchange, 2)
    services.sweep_quality(markets)


def test_each_kind_of_evidence_is_listed(exchange, markets, monkeypatch):
    sync_with_faults(exchange, markets, monkeypatch)
    found = evidence_of(markets[0])
    (hole,) = [one for one in [*found.absences, *found.suspicions] if one.tries >= 3]
    assert (hole.start.timestamp() * 1000, hole.end.timestamp() * 1000) == (HOLE, HOLE + STEP)
    assert (hole.last_asked - hole.first_asked).total_seconds() >= 600
    (change,) = found.revisions
    assert change.open_time.timestamp() * 1000 == START
    assert change.before["close"] != change.after["close"]
    (refusal,) = found.refusals
    assert refusal.origin == "rest"
    assert "not JSON" in refusal.reason
    assert refusal.raw.startswith("<")
    calm = evidence_of(markets[0], START + STEP, START + 2 * STEP)
    assert (calm.absences, calm.suspicions, calm.revisions) == ([], [], [])
    assert evidence_of(markets[1]).refusals == []


def test_the_command_shows_it(exchange, markets, monkeypatch):
    sync_with_faults(exchange, markets, monkeypatch)
    out = io.StringIO()
    call_command("candles_quality", "--symbols", "BTCUSDT", "--evidence", stdout=out)
    output = out.getvalue()
    assert "3 times without result" in output
    assert "revised 2025-01-01T00:00:00Z: " in output
    assert "not JSON" in output
    out = io.StringIO()
    call_command("candles_quality", "--symbols", "BTCUSDT", "--json", stdout=out)
    assert set(json.loads(out.getvalue())["evidence"]) == {
        "absences", "suspicions", "revisions", "refusals", "cut_short", "ahead",
    }  # fmt: skip


def test_unreadable_responses_are_quarantined_in_a_backfill_too(exchange, markets):
    exchange.faults.add(Fault("html", symbol="ETHUSDT", path="klines", times=1))
    backfill.backfill(markets, START - 10 * STEP, START)
    (refusal,) = evidence_of(markets[1]).refusals
    assert "not JSON" in refusal.reason
