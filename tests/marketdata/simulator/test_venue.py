"""The simulated exchange without network: closes, ledger and candle faults."""

import json
from pathlib import Path

import pytest

from marketdata import clock
from marketdata.exchange.parsing import parse_kline_page, parse_stream_frame
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.faults import KINDS, Fault, FaultPlan, UnknownFault
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.klines_page import Page
from marketdata.simulator.klines import rest_row
from marketdata.simulator.ledger import Ledger
from marketdata.simulator.market_clock import MarketClock
from marketdata.simulator.venue import Venue

START = 1_704_067_200_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def _venue(*faults, seed=0, ledger=None):
    plan = FaultPlan(faults, seed)
    return Venue(CandleGenerator(SYMBOLS, 1), MarketClock(START, 0), plan, Ledger() if ledger is None else ledger)


def _closed(messages):
    return [(m.symbol, m.event["k"]["t"]) for m in messages if isinstance(m.event, dict) and m.event["k"]["x"]]


def _page(venue, now, symbol="BTCUSDT", limit=1000):
    return Page(symbol, INTERVAL_MS, START, None, limit).rows(venue.candles, now)


def test_each_candle_closes_once_for_each_symbol():
    venue = _venue()
    closed = [pair for now in range(START, START + 10 * INTERVAL_MS + 1, 70_000) for pair in _closed(venue.step(now))]
    assert closed == [(symbol, START + n * INTERVAL_MS) for n in range(9) for symbol in SYMBOLS]
    assert len(venue.ledger) == 18


def test_a_long_pause_closes_everything_that_was_due():
    venue = _venue()
    assert len(_closed(venue.step(START + 100 * INTERVAL_MS))) == 200


def test_rest_socket_and_ledger_have_the_same_candle():
    venue = _venue()
    messages = venue.step(START + INTERVAL_MS)
    event = messages[0].event["k"]
    row = _page(venue, START + INTERVAL_MS)[0]
    assert row == rest_row(venue.ledger.final("BTCUSDT")[START])
    assert [event[name] for name in "tohlcvTqnVQB"] == row


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT", "QZXUSDT"])
def test_the_strict_parser_of_the_feed_accepts_every_candle(symbol):
    venue = Venue(CandleGenerator((symbol,), 1), MarketClock(START, 0), FaultPlan(), Ledger())
    now = START + 1000 * INTERVAL_MS
    rows = Page(symbol, INTERVAL_MS, START, now - 1, 1000).rows(venue.candles, now)
    assert len(parse_kline_page(rows, START, now)[0]) == 1000
    for message in venue.step(START + 20 * INTERVAL_MS):
        assert parse_stream_frame(message.event, {symbol})[1] in parse_kline_page(rows, START, now)[0]


def test_the_newest_row_is_the_open_candle():
    venue = _venue()
    rows = _page(venue, START + 2 * INTERVAL_MS + 1000)
    assert len(rows) == 3
    assert rows[-1][6] > START + 2 * INTERVAL_MS + 1000


def test_a_hole_is_missing_everywhere_and_in_the_ledger():
    venue = _venue(Fault("hole", at=START, until=START + 2 * INTERVAL_MS, symbol="BTCUSDT"))
    closed = _closed(venue.step(START + 4 * INTERVAL_MS))
    assert len(closed) == 6
    assert venue.ledger.absent("BTCUSDT") == [START, START + INTERVAL_MS]
    assert [row[0] for row in _page(venue, START + 3 * INTERVAL_MS)] == [
        START + 2 * INTERVAL_MS,
        START + 3 * INTERVAL_MS,
    ]


def test_a_late_hole_is_filled_in_time():
    venue = _venue(Fault("late_hole", at=START, until=START + 1, symbol="BTCUSDT", seconds=60))
    assert _closed(venue.step(START + INTERVAL_MS)) == [("ETHUSDT", START)]
    assert _page(venue, START + INTERVAL_MS + 59_999)[0][0] == START + INTERVAL_MS
    assert venue.next_due(START + INTERVAL_MS) == START + INTERVAL_MS + 60_000
    assert venue.step(START + INTERVAL_MS + 60_000) == []
    assert _page(venue, START + INTERVAL_MS + 60_000)[0][0] == START
    assert venue.ledger.absent("BTCUSDT") == []
    assert [entry.event for entry in venue.ledger.entries("BTCUSDT")] == ["absent", "appeared"]


def test_a_correction_changes_rest_and_ledger_but_not_sent_messages():
    venue = _venue(Fault("correction", at=START, until=START + 1, symbol="BTCUSDT", seconds=90))
    before = venue.step(START + INTERVAL_MS)[0].event["k"]
    assert _page(venue, START + INTERVAL_MS)[0][4] == before["c"]
    venue.step(START + INTERVAL_MS + 90_000)
    after = _page(venue, START + INTERVAL_MS + 90_000)[0]
    assert float(after[5]) > float(before["v"])
    assert rest_row(venue.ledger.final("BTCUSDT")[START]) == after
    assert [entry.event for entry in venue.ledger.entries("BTCUSDT")] == ["closed", "corrected"]


@pytest.mark.parametrize("kind", ["correction", "late_hole"])
def test_the_ledger_shows_a_change_after_a_fraction_of_a_millisecond(kind):
    venue = _venue(Fault(kind, at=START, until=START + 1, symbol="BTCUSDT", seconds=90.0006))
    venue.step(START + INTERVAL_MS + 120_000)
    shown = _page(venue, START + INTERVAL_MS + 120_000)[0]
    assert rest_row(venue.ledger.final("BTCUSDT")[START]) == shown


def test_a_late_close_is_sent_late_and_recorded_in_time():
    venue = _venue(Fault("late_close", symbol="ETHUSDT", seconds=12, times=1))
    assert _closed(venue.step(START + INTERVAL_MS)) == [("BTCUSDT", START)]
    assert len(venue.ledger) == 2
    assert _closed(venue.step(START + INTERVAL_MS + 11_999)) == []
    assert _closed(venue.step(START + INTERVAL_MS + 12_000)) == [("ETHUSDT", START)]


def test_duplicates_disorder_garbage_and_bursts_surround_the_close():
    kinds = ("duplicate", "reorder", "garbled", "burst")
    venue = _venue(*(Fault(kind, symbol="BTCUSDT", times=1) for kind in kinds))
    messages = [m for m in venue.step(START + INTERVAL_MS) if m.symbol == "BTCUSDT"]
    assert isinstance(messages[0].event, str)
    assert len(messages) == 1 + 2000 + 1 + 2
    assert len(_closed(messages)) == 2
    assert messages[-1].event["k"]["x"] is False
    assert len(venue.step(START + 2 * INTERVAL_MS)) == 2


def test_an_unsent_close_is_still_in_the_ledger_and_on_rest():
    venue = _venue(Fault("unsent", times=2))
    assert venue.step(START + INTERVAL_MS) == []
    assert len(venue.ledger.final("ETHUSDT")) == 1


def test_the_same_seed_affects_the_same_candles():
    def holes(seed):
        venue = _venue(Fault("hole", probability=0.2), seed=seed)
        venue.step(START + 200 * INTERVAL_MS)
        return venue.ledger.absent("BTCUSDT")

    assert holes(1) == holes(1) != holes(2)
    assert 20 < len(holes(1)) < 60


def test_faults_can_be_counted_added_ended_and_saved(tmp_path):
    plan = FaultPlan([Fault("html", times=2)])
    assert [plan.trigger(("html",), 0) is not None for _ in range(3)] == [True, True, False]
    plan.add(Fault("slow", at=10, until=20))
    assert [plan.trigger(("slow",), now) is not None for now in (9, 10, 19, 20)] == [False, True, True, False]
    assert plan.next_moment(0) == 10
    plan.clear()
    assert plan.trigger(("slow",), 15) is None
    path = tmp_path / "faults.json"
    path.write_text(plan.to_json())
    assert [json.loads(FaultPlan.from_file(path).to_json())[1][name] for name in ("kind", "at")] == ["slow", 10]


@pytest.mark.parametrize("text", ["[", "{}", '[{"kind": "hole", "colour": 1}]', '[{"kind": "flood"}]'])
def test_a_bad_plan_is_refused(tmp_path, text):
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(UnknownFault):
        FaultPlan.from_file(path)


def test_an_invalid_probability_is_refused():
    with pytest.raises(UnknownFault, match="between 0 and 1"):
        Fault("hole", probability=2)


def test_the_ledger_can_be_written_to_a_file(tmp_path):
    path = tmp_path / "ledger.jsonl"
    venue = _venue(Fault("hole", symbol="ETHUSDT"), ledger=Ledger(path))
    venue.step(START + INTERVAL_MS)
    venue.ledger.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line["symbol"]) for line in lines] == [("closed", "BTCUSDT"), ("absent", "ETHUSDT")]
    assert lines[0]["kline"] == _page(venue, START + INTERVAL_MS)[0]


def test_market_time_runs_at_its_own_rate_and_only_forward():
    with clock.use(clock.FrozenClock(1_000_000)) as frozen:
        market = MarketClock(START, 60)
        frozen.advance(2.5)
        assert market.now_ms() == START + 150_000
        assert market.wall_seconds_until(START + 300_000) == 2.5
        market.advance_to(START)
        assert market.now_ms() == START + 150_000
        market.advance_to(START + 300_000)
        assert market.now_ms() == START + 300_000
    with pytest.raises(ValueError, match="0 or more"):
        MarketClock(START, -1)


def test_the_documentation_describes_every_fault():
    manual = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text()
    assert [kind for kind, meaning in KINDS.items() if f"| `{kind}` | {meaning} |" not in manual] == []
