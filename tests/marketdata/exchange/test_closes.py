"""Candles count as closed only by their market's clock; rows ahead are not used."""

import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from marketdata import clock, services
from marketdata.api import reading
from marketdata.coverage import evidence
from marketdata.coverage.ledger import coverage_of
from marketdata.exchange import closes
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, CandleRevision, Market, QuarantinedMessage
from marketdata.storage import candles
from tests.marketdata.conftest import START, STEP, close_candles, opens

YEAR_2027 = 1_799_539_200_000
YEAR_2099 = 4_070_908_800_000
REAL = "https://api.binance.com"
FAKE = "http://127.0.0.1:1"


def row(open_time, close="5.2"):
    return CandleRow(open_time, Decimal("5.1"), Decimal("5.3"), Decimal("5.0"), Decimal(close), Decimal("10.5"))


def file_of(folder, opens, name="BTCUSDT-5m.csv", close="5.2"):
    path = folder / name
    lines = [f"{at},5.1,5.3,5.0,{close},10.5" for at in opens]
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *lines]) + "\n")
    return path


def parquet_of(folder, opens):
    import pandas as pd

    path = folder / "BTCUSDT-5m.parquet"
    pd.DataFrame({"open_time": opens, "open": 5.1, "high": 5.3, "low": 5.0, "close": 5.2, "volume": 1.5}).to_parquet(
        path
    )
    return path


def zip_of(folder, opens):
    import zipfile

    path = folder / "BTCUSDT-5m-2025-01.zip"
    rows = [f"{at * 1000},5.1,5.3,5.0,5.2,10.5,{(at + STEP) * 1000 - 1},53.1,7,4.5,23.1,0" for at in opens]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-5m-2025-01.csv", "\n".join(rows))
    return path


def imported(path, *words):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_candles", str(path), *words, stdout=out, stderr=err)
    except CommandError as error:
        return str(error), err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.fixture
def market(db):
    return Market.objects.create(symbol="BTCUSDT", source="exchange")


@pytest.fixture
def read_clock(db):
    """Function that stores a reading of an exchange's clock: market time, rate and address."""

    def put(market_ms, rate=1.0, base_url=REAL):
        clock.record_reading(clock.Reading(clock.wall_ms(), market_ms, rate, base_url))

    return put


@pytest.mark.parametrize("make", [file_of, parquet_of, zip_of])
@pytest.mark.parametrize("ahead", [YEAR_2027, YEAR_2099])
def test_an_unclosed_candle_in_a_file_is_refused_with_line_and_reason(db, tmp_path, make, ahead):
    path = make(tmp_path, [START, START + STEP, ahead])
    output, listed = imported(path)
    assert "1 rows are bad, 2 are good, nothing was imported" in output
    line = {".csv": 4, ".parquet": 3, ".zip": 3}[path.suffix]
    place = "row" if path.suffix == ".parquet" else "line"
    assert f"{place} {line}: the candle has not closed: wall time (no exchange was ever read) is 20" in listed
    assert "2 inserted" in imported(path, "--skip-bad")[0]
    assert set(Candle.objects.values_list("open_time", flat=True)) == {START, START + STEP}


@pytest.mark.parametrize(("after_ms", "good"), [(STEP - 2_000, 1), (STEP - 500, 2), (STEP, 2)])
def test_without_a_reading_wall_time_decides_with_a_second_of_tolerance(db, tmp_path, after_ms, good):
    class Wall(clock.SystemClock):
        def wall_ms(self):
            return START + STEP + after_ms

    with clock.use(Wall()):
        imported(file_of(tmp_path, [START, START + STEP]), "--skip-bad")
    assert Candle.objects.count() == good


@pytest.mark.parametrize(
    ("base_url", "source", "good"),
    [(REAL, "exchange", 1), (FAKE, "simulated", 1), (FAKE, "exchange", 3), (REAL, "simulated", 3)],
)
def test_the_clock_of_the_market_s_own_exchange_decides(db, tmp_path, read_clock, base_url, source, good):
    read_clock(START + STEP + 10_000, base_url=base_url)
    _, listed = imported(file_of(tmp_path, [START + at * STEP for at in range(3)]), "--skip-bad", "--source", source)
    assert Candle.objects.count() == good
    assert good == 3 or "the market's time is 2025-01-01 00:05:1" in listed


def test_a_simulated_clock_that_runs_ahead_accepts_its_own_candles(db, tmp_path, read_clock):
    read_clock(YEAR_2027 + STEP, rate=60.0, base_url=FAKE)
    old = YEAR_2027 - 5 * STEP
    assert "2 inserted" in imported(file_of(tmp_path, [old, YEAR_2027]), "--source", "simulated")[0]
    assert candles.newest_open(list(Market.objects.all())) == {Market.objects.get().pk: old}, (
        "the new one is unconfirmed"
    )
    assert "has not closed" in imported(file_of(tmp_path, [YEAR_2099]), "--source", "simulated")[1]


@pytest.fixture
def with_future(market):
    """A market with candles of 2027 and 2099, as an earlier release could store."""
    candles.save_candles(market, [row(START), row(YEAR_2027), row(YEAR_2099)], "import")
    return market


def test_rows_ahead_of_the_clock_are_not_used(with_future):
    market = with_future
    assert candles.newest_open([market]) == {market.pk: START}
    assert [candle.open_time for candle in reading.candles_between(market, None, None).rows] == [START]
    ledger = coverage_of(market)
    assert (ledger.expected, ledger.stored, ledger.missing, ledger.ahead) == (1, 1, 0, 2)
    assert [at.open_time.year for at in evidence.evidence_of(market).ahead] == [2099, 2027]


def test_rows_ahead_are_moved_into_quarantine_complete_and_in_order(with_future):
    out = io.StringIO()
    call_command("candles_quality", "--quarantine-ahead", "--evidence", stdout=out)
    assert "2 rows from the future moved into quarantine" in out.getvalue()
    assert opens(with_future) == [START]
    kept = [json.loads(one.raw) for one in QuarantinedMessage.objects.order_by("id")]
    assert [one["open_time"] for one in kept] == [YEAR_2027, YEAR_2099]
    assert kept[0]["close"] == "5.20000000"
    assert "although it opens 2027-01-10 00:00 UTC" in QuarantinedMessage.objects.order_by("id")[0].reason


def test_a_wrong_clock_reading_empties_no_market(with_future, read_clock):
    read_clock(START - 1_000 * STEP)
    call_command("candles_quality", "--quarantine-ahead", stdout=io.StringIO())
    assert opens(with_future) == [START]


def test_a_frame_ahead_of_the_clock_is_refused_with_the_reason(exchange, markets, short_window):
    services.sync_candles(markets)
    before = candles.newest_open(markets)
    ahead = START + 3 * STEP
    report = services.sync_candles(markets, {"BTCUSDT": [row(ahead)]})
    assert "called closed before its end" in report.failures["BTCUSDT"]
    assert ahead not in opens(markets[0])
    assert candles.newest_open(markets) == before
    kept = QuarantinedMessage.objects.get()
    assert (kept.market, kept.origin) == (markets[0], "stream")
    assert json.loads(kept.raw)["open_time"] == ahead


def test_a_frame_that_seems_early_after_a_clock_jump_is_accepted_after_a_new_reading(exchange, markets, short_window):
    services.sync_candles(markets)
    close_candles(exchange, 3)
    head = START + 2 * STEP
    report = services.sync_candles(markets, {market.symbol: [row(head)] for market in markets})
    assert report.failures == {}
    assert Candle.objects.get(market=markets[0], open_time=head).origin == "stream"


def test_a_new_candle_of_a_file_is_confirmed_before_it_is_used(exchange, markets, short_window, tmp_path):
    services.sync_candles(markets)
    close_candles(exchange, 2)
    head = START + STEP
    read_exchange_clock()
    imported(file_of(tmp_path, [head]), "--source", "simulated")
    assert candles.newest_open(markets)[markets[0].pk] < head, "not confirmed yet"
    services.sync_candles(markets)
    assert candles.newest_open(markets)[markets[0].pk] == head
    assert Candle.objects.get(market=markets[0], open_time=head).origin == "rest"
    assert CandleRevision.objects.get().origin == "rest", "the values of the file are recorded as a revision"


def test_a_candle_confirmed_unchanged_gets_the_exchange_as_origin(exchange, markets, short_window, tmp_path):
    services.sync_candles(markets)
    close_candles(exchange, 1)
    services.sync_candles(markets)
    held = Candle.objects.get(market=markets[0], open_time=START)
    Candle.objects.filter(pk=held.pk).update(origin="import")
    assert candles.newest_open(markets)[markets[0].pk] == START - STEP
    services.sync_candles(markets)
    held.refresh_from_db()
    assert (held.origin, held.revision) == ("rest", 0)


def test_a_file_cannot_change_recent_candles_of_the_exchange(exchange, markets, short_window, tmp_path):
    services.sync_candles(markets)
    newest = candles.newest_open(markets)[markets[0].pk]
    output, _ = imported(file_of(tmp_path, [newest]), "--source", "simulated")
    assert f"differs from the exchange in the candle at {newest}" in output
    assert not CandleRevision.objects.exists()
    old = newest - 20 * STEP
    assert "1 revised" in imported(file_of(tmp_path, [old]), "--source", "simulated")[0]


def test_without_an_exchange_candles_of_a_file_are_used(market, tmp_path):
    newest = closes.last_open_to_import("exchange")
    imported(file_of(tmp_path, [newest]))
    assert candles.newest_open([market]) == {market.pk: newest}


def read_exchange_clock():
    from marketdata.exchange.rest import RestSession

    with RestSession() as session:
        session.read_clock()
