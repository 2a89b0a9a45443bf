"""Halts in the exchange's own dumps are accepted and marked; otherwise broken files are refused."""

import json

import pytest

from marketdata import services
from marketdata.coverage import halts
from marketdata.coverage.ledger import coverage_of
from marketdata.models import AbsentStretch, Candle, CutShortCandle, Market, QuarantinedMessage
from marketdata.simulator.faults import Fault
from tests.marketdata.conftest import START, STEP
from tests.marketdata.files.test_importing import dump_row, run, write_csv

OLD = 1_700_000_100_000
OFF_BY = 194_789


def off_grid_row(index, start=OLD, off_by=OFF_BY, unit=1):
    return dump_row(index, start + off_by, unit)


@pytest.mark.parametrize("header", [False, True])
def test_a_candle_cut_short_at_the_end_or_before_a_hole_is_stored_and_marked(db, tmp_path, header):
    rows = [dump_row(0), dump_row(1, T=OLD + STEP + OFF_BY - 1), dump_row(9), dump_row(10, T=OLD + 10 * STEP + 5)]
    output, listed = run(write_csv(tmp_path, rows, header=header))
    assert "4 inserted, 0 unchanged, 0 revised, 0 rejected, 2 cut_short" in output
    assert not listed
    marks = dict(CutShortCandle.objects.values_list("open_time", "close_time"))
    assert marks == {OLD + STEP: OLD + STEP + OFF_BY - 1, OLD + 10 * STEP: OLD + 10 * STEP + 5}
    assert coverage_of(Market.objects.get()).cut_short == 2


def test_in_microseconds_too(db, tmp_path):
    rows = [dump_row(0, START, 1000), dump_row(1, START, 1000, T=(START + STEP + OFF_BY) * 1000 - 1)]
    assert "1 cut_short" in run(write_csv(tmp_path, rows))[0]
    assert CutShortCandle.objects.get().close_time == START + STEP + OFF_BY - 1


@pytest.mark.parametrize("error_ms", [1_000, 60_000, STEP - 60_000])
def test_a_file_whose_close_times_are_all_wrong_is_refused(db, tmp_path, error_ms):
    rows = [dump_row(i, T=OLD + (i + 1) * STEP - 1 - error_ms) for i in range(5)]
    output, listed = run(write_csv(tmp_path, rows))
    assert "5 rows are bad" in output
    assert "close time is not the end of a 5m candle" in listed
    assert not Candle.objects.exists()


def test_rows_off_the_grid_make_their_stretch_absent_and_are_stored_once(db, tmp_path):
    path = write_csv(tmp_path, [dump_row(0), *(off_grid_row(i) for i in range(3, 8)), dump_row(12)])
    for _ in range(2):
        output, listed = run(path)
        assert "0 rejected, 5 off_grid" in output
        assert not listed
    assert {(one.start, one.end) for one in AbsentStretch.objects.all()} == {(OLD + 3 * STEP, OLD + 9 * STEP)}
    assert "holds 5 candles off the 5-minute grid" in AbsentStretch.objects.get().evidence["reason"]
    kept = [json.loads(one.raw) for one in QuarantinedMessage.objects.order_by("id")]
    assert [one["line"] for one in kept] == [2, 3, 4, 5, 6]
    assert {one.reason for one in QuarantinedMessage.objects.all()} == {halts.OFF_GRID}


@pytest.mark.parametrize("off_by", [1_000, 60_000, 150_000])
def test_a_shifted_file_is_refused(db, tmp_path, off_by):
    output, listed = run(write_csv(tmp_path, [off_grid_row(i, off_by=off_by) for i in range(5)]))
    assert "5 rows are bad" in output
    assert "open time is not a multiple of 300000 ms" in listed
    assert not AbsentStretch.objects.exists()


def test_a_backfill_explains_the_rest_of_a_halt_in_a_file(exchange, markets, tmp_path):
    """The day without candles lies between two dumps; the exchange's response has later candles."""
    begin = START - 600 * STEP
    exchange.faults.add(
        Fault("cut_short", symbol="BTCUSDT", at=begin, until=begin + STEP, seconds=194.788),
        Fault("hole", symbol="BTCUSDT", at=begin + STEP, until=begin + 300 * STEP),
        Fault("off_grid", symbol="BTCUSDT", at=begin + 300 * STEP, until=begin + 320 * STEP, seconds=194.789),
    )
    rows = [dump_row(i, begin + OFF_BY, 1) for i in range(300, 320)]
    assert "20 off_grid" in run(write_csv(tmp_path, rows, name="BTCUSDT-5m-2024-12.csv"), "--source", "simulated")[0]
    services.backfill(markets[0], begin - 5 * STEP, START)
    assert coverage_of(markets[0], begin - 5 * STEP, START).missing == 0
    assert services.backfill(markets[0], begin - 5 * STEP, START).requests == 0
