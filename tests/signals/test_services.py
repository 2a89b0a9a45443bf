"""Signals: exactly one per market and candle, in one gapless sequence."""

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from indicators.features import WARMUP
from marketdata import clock
from marketdata.models import Candle, Market
from marketdata.process_state import process_state
from mlengine_project.operations.verification import verify_market
from modelregistry import registry
from modelregistry.registry.serving import LoadedVersions
from predictions.forecasting import parity
from predictions.log import chain
from predictions.models import ChainHead, PredictionLog
from signals import backlog, kill_switch, services
from signals.backlog import Sweep
from signals.delivery import publisher
from signals.errors import SignalPending
from signals.models import OutboxMessage, SignalLog, SymbolSequence
from tests.champions import BEGIN, STEP, at_close_of, make_markets, store_candles
from tests.conftest import use_redis
from tests.modelregistry import champions as tiny

NEWEST = BEGIN - STEP


@pytest.fixture(autouse=True)
def _no_exchange(monkeypatch):
    """These tests store candles themselves."""
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)


def advance(open_ms=NEWEST, seconds=1.0):
    with clock.use(at_close_of(open_ms, seconds)):
        return services.advance()


def test_the_first_advance_begins_the_live_record_at_the_newest_candle(champions):
    markets = make_markets()
    report = advance()
    assert (report.signals, report.sent) == (2, 2)
    assert {clock.to_ms(market.live_since) for market in Market.objects.all()} == {NEWEST}
    assert SignalLog.objects.count() == 2
    assert PredictionLog.objects.count() == 8
    assert advance().signals == 0
    assert len(markets) == 2


def test_every_later_candle_gets_one_row_in_order(champions):
    markets = make_markets()
    advance()
    for market in markets:
        store_candles(market, BEGIN, 3)
    advance(BEGIN + 2 * STEP)
    rows = SignalLog.objects.filter(symbol="BTCUSDT").order_by("seq")
    assert [row.seq for row in rows] == [1, 2, 3, 4]
    assert [clock.to_ms(row.candle_time) for row in rows] == [NEWEST + k * STEP for k in range(4)]
    # Three candles were stored at once: the first is late.
    assert [row.reasons for row in rows] == [["NO_EDGE_AFTER_FEES"], ["LATE"], *[["NO_EDGE_AFTER_FEES"]] * 2]
    assert all(row.expected_net_return is None for row in rows if row.reasons == ["LATE"])
    assert set(SymbolSequence.objects.values_list("head", flat=True)) == {4}


def test_signals_are_published_before_their_rows_are_checked(champions, monkeypatch):
    compare, counts = parity.compare, []

    def observed(batch):
        counts.append((OutboxMessage.objects.count(), OutboxMessage.objects.filter(sent_at__isnull=True).count()))
        return compare(batch)

    monkeypatch.setattr(parity, "compare", observed)
    make_markets()
    advance()
    assert counts == [(2, 0)]


def test_predictions_and_signals_are_written_together_or_not_at_all(champions, monkeypatch):
    make_markets()
    with monkeypatch.context() as patch:
        patch.setattr("signals.services.record", failing)
        with pytest.raises(RuntimeError):
            advance()
    assert not PredictionLog.objects.exists()
    assert not ChainHead.objects.filter(index__gt=0).exists()
    assert advance().signals == 2
    assert PredictionLog.objects.count() == 8


def failing(*_):
    raise RuntimeError("the process ends before the signals are written")


@pytest.mark.django_db(transaction=True)
def test_signals_are_announced_after_their_commit_and_before_the_outbox_is_read(
    champions, settings, redis_url, monkeypatch
):
    use_redis(settings, redis_url)
    announced, announce = [], publisher._announcer.announce

    def observed(symbols):
        announced.append((sorted(symbols), connection.in_atomic_block, SignalLog.objects.count()))
        return announce(symbols)

    monkeypatch.setattr(publisher._announcer, "announce", observed)
    make_markets()
    assert advance().sent == 2
    assert announced == [(["BTCUSDT", "ETHUSDT"], False, 2)]
    assert not OutboxMessage.objects.filter(sent_at__isnull=True).exists()


def test_a_close_of_two_markets_needs_as_many_statements_as_one_of_one(champions):
    markets = make_markets()
    advance()
    counts = []
    for candle, part in enumerate((markets[:1], markets[:1], markets)):
        open_ms = BEGIN + candle * STEP
        for market in markets:
            store_candles(market, open_ms, 1)
        with CaptureQueriesContext(connection) as queries, clock.use(at_close_of(open_ms)):
            services.advance(part)
        counts.append(len(queries))
    assert counts[2] <= counts[1], counts


def test_a_hold_without_edge_has_the_best_bracket(champions):
    make_markets()
    advance()
    row = SignalLog.objects.get(symbol="BTCUSDT")
    assert row.signal_type == "hold"
    assert row.reasons == ["NO_EDGE_AFTER_FEES"]
    assert row.considered_side in {"buy", "sell"}
    assert row.confidence is None
    assert row.p_take_profit + row.p_stop_loss + row.p_neither == pytest.approx(1)
    assert row.expected_net_return <= 0.003
    assert row.p_break_even > 0
    entry, target, stop = row.entry_price, row.take_profit, row.stop_loss
    assert (target > entry > stop) if row.considered_side == "buy" else (target < entry < stop)


def test_refused_candles_get_a_hold_with_the_reasons_and_nothing_else(db):
    make_markets(count=WARMUP - 10)
    advance()
    row = SignalLog.objects.get(symbol="ETHUSDT")
    assert row.signal_type == "hold"
    assert row.reasons == ["NO_CHAMPION", "WARMUP"]
    assert row.take_profit is None
    assert row.p_take_profit is None
    assert row.horizon is None
    assert row.considered_side == ""
    assert PredictionLog.objects.count() == 0


def test_champions_without_a_common_horizon_hold_with_the_reason(champions, monkeypatch):
    make_markets()
    other = tiny_candidate(monkeypatch, horizons=(12, 48))
    registry.promote(other, "tests", "brackets first")
    process_state.of(LoadedVersions).serving.clear()
    advance()
    row = SignalLog.objects.get(symbol="BTCUSDT")
    assert (row.signal_type, row.reasons) == ("hold", ["NO_CHAMPION"])
    text = "the champions share no horizon: ranges are for 6, 18, 36, 72 candles, brackets for 12, 48"
    assert row.reason_details == {"NO_CHAMPION": text}
    assert row.take_profit is None
    assert PredictionLog.objects.count() == 8
    assert verify_market(row.market).signals == 1


def test_champions_that_share_some_horizons_use_those(champions, monkeypatch):
    make_markets()
    registry.promote(tiny_candidate(monkeypatch, horizons=(12, 18)), "tests", "brackets first")
    process_state.of(LoadedVersions).serving.clear()
    advance()
    assert {row.horizon for row in SignalLog.objects.all()} == {18}


def tiny_candidate(monkeypatch, horizons):
    """TP/SL candidate with other horizons."""
    with monkeypatch.context() as patch:
        patch.setattr(tiny, "HORIZONS", horizons)
        return tiny.candidate("tpsl_classifier", seed=3, source="simulated", symbols=("BTCUSDT", "ETHUSDT"))


def test_the_kill_switch_gives_a_hold_with_its_reason(champions):
    make_markets()
    kill_switch.set_switch("ETHUSDT", off=True, reason="exchange in trouble", actor="ann")
    advance()
    held = SignalLog.objects.get(symbol="ETHUSDT")
    assert held.reasons == ["KILL_SWITCH"]
    assert held.reason_details == {"KILL_SWITCH": "exchange in trouble"}
    assert SignalLog.objects.get(symbol="BTCUSDT").reasons == ["NO_EDGE_AFTER_FEES"]
    assert PredictionLog.objects.count() == 8


def test_a_gap_repaired_later_gets_a_late_row(champions):
    markets = make_markets()
    advance()
    for market in markets:
        store_candles(market, BEGIN, 400, leave_out=[BEGIN + 5 * STEP])
    advance(BEGIN + 399 * STEP)
    assert SignalLog.objects.filter(symbol="BTCUSDT").count() == 400
    newest = SignalLog.objects.filter(symbol="BTCUSDT").order_by("-candle_time").first()
    assert newest.reasons == ["GAP_IN_WINDOW"]
    store_candles(markets[0], BEGIN + 5 * STEP, 1)
    process_state.drop(Sweep)
    advance(BEGIN + 399 * STEP)
    row = SignalLog.objects.get(symbol="BTCUSDT", candle_time=clock.to_datetime(BEGIN + 5 * STEP))
    assert row.seq == 401
    assert row.reasons == ["LATE"]
    assert PredictionLog.objects.get(symbol="BTCUSDT", candle_time=row.candle_time, horizon=6).late


def test_the_outbox_has_the_published_bytes_and_the_chain_is_valid(champions):
    markets = make_markets()
    advance()
    for market in markets:
        store_candles(market, BEGIN, 2)
    advance(BEGIN + STEP)
    for row in SignalLog.objects.all():
        payload = orjson.loads(row.outbox.payload)
        assert payload["id"] == str(row.id)
        assert payload["seq"] == row.seq
        assert "outcome" not in payload
        assert row.outbox.sent_at is not None
        assert row.outbox.attempts == 1
    for market in Market.objects.all():
        rows = SignalLog.objects.filter(market=market).order_by("chain_index")
        head = ChainHead.objects.get(market=market, log="signals")
        assert chain.check_chain(rows, chain.SIGNAL_COLUMNS, head) == 3
    SignalLog.objects.filter(seq=2, symbol="BTCUSDT").update(expected_net_return=0.5)
    rows = SignalLog.objects.filter(symbol="BTCUSDT").order_by("chain_index")
    with pytest.raises(chain.BrokenChain):
        chain.check_chain(rows, chain.SIGNAL_COLUMNS, None)


def test_an_emitted_signal_has_a_positive_expected_return(champions, monkeypatch):
    monkeypatch.setattr("predictions.forecasting.pricing.expected_return", lambda p, *_: 0 * p[..., 0] + 0.05 + 0.0021)
    make_markets()
    advance()
    rows = SignalLog.objects.all()
    assert len(rows) == 2
    for row in rows:
        assert row.signal_type in {"buy", "sell"}
        assert row.expected_net_return == pytest.approx(0.05)
        assert float(row.confidence) == pytest.approx(row.p_take_profit, abs=1e-4)
        assert row.reasons == []


def test_the_newest_signal_is_waited_for_until_the_timeout(champions):
    make_markets()
    with clock.use(at_close_of(NEWEST)):
        with pytest.raises(SignalPending):
            services.newest_signal("BTCUSDT", wait_seconds=0.1)
        services.advance()
        assert services.newest_signal("BTCUSDT").seq == 1


def test_nothing_is_written_for_imported_history(champions):
    make_markets()
    advance()
    assert Candle.objects.count() > 8000
    assert OutboxMessage.objects.count() == 2


def test_a_complete_record_is_detected_by_counting(champions):
    markets = make_markets()
    advance()
    store_candles(markets[0], BEGIN, 3, leave_out=[BEGIN + STEP])
    assert backlog.newest_pending(markets) == {markets[0]: [BEGIN, BEGIN + 2 * STEP]}
    assert backlog.recent_pending(markets) == {markets[0]: [BEGIN, BEGIN + 2 * STEP]}
    advance(BEGIN + 2 * STEP)
    assert backlog.newest_pending(markets) == backlog.recent_pending(markets) == {}
    store_candles(markets[0], BEGIN + STEP, 1)
    assert backlog.newest_pending(markets) == {}
    with CaptureQueriesContext(connection) as queries:
        assert backlog.recent_pending(markets) == {markets[0]: [BEGIN + STEP]}
    assert len(queries) == 2  # the newest candle, and one statement for all
