"""Outcomes of signals on small hand-made candles."""

from decimal import Decimal

import pytest

from marketdata import clock
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, Market
from marketdata.storage import candles as store
from mlengine_project.operations.verification import BrokenRecord, verify_market
from signals.drafting import Draft
from signals.log.recording import record
from signals.models import SignalLog
from signals.outcomes import net_results, score_signals
from tests.champions import BEGIN, STEP, at_close_of

NEWEST = BEGIN - STEP
BRACKET = {
    "take_profit": 102.0, "stop_loss": 99.0, "p_take_profit": 0.5, "p_stop_loss": 0.3, "p_neither": 0.2,
    "p_break_even": 0.4, "expected_net_return": 0.001,
}  # fmt: skip


@pytest.fixture
def market(db, settings):
    settings.FEE_RATE = 0.001
    return Market.objects.create(symbol="BTCUSDT", source="simulated")


def record_signal(market, side="buy", bracket=None):
    with clock.use(at_close_of(NEWEST)):
        one = Draft(
            market, NEWEST, 100.0, signal_type=side, horizon=6, considered_side=side, bracket=bracket or BRACKET
        )
        return record([one], clock.market_ms())[0]


def candles(market, *prices):
    """Store candles given as (open, high, low, close); the last one repeats to fill six."""
    filled = [*prices, *[prices[-1]] * (6 - len(prices))]
    rows = [
        CandleRow(BEGIN + k * STEP, *(Decimal(str(value)) for value in row), Decimal(1)) for k, row in enumerate(filled)
    ]
    store.save_candles(market, rows, Candle.Origin.IMPORT)


def score_and_read(market, minutes=50):
    with clock.use(clock.FrozenClock(BEGIN + minutes * 60_000)):
        score_signals()
    return SignalLog.objects.get(market=market)


@pytest.mark.parametrize(
    ("side", "prices", "outcome", "pnl"),
    [
        ("buy", [(100, 101, 99.5, 100.5), (100.5, 102, 100, 101)], "tp", "1.8000"),
        ("buy", [(100, 101, 99, 100)], "sl", "-1.2000"),
        ("buy", [(100, 103, 98, 100)], "sl", "-1.2000"),  # both in one candle
        ("buy", [(100, 101, 99.5, 100.5), (95, 96, 94, 95)], "sl", "-5.2000"),  # gapped through: exit at the open
        ("buy", [(100, 101, 99.5, 100.5), (105, 106, 104, 105)], "tp", "1.8000"),  # never better than its level
        ("buy", [(100, 101, 99.5, 100.5)], "timeout", "0.3000"),
        ("buy", [(102, 103, 101, 102)], "void", None),
        ("buy", [(98.5, 103, 98, 102)], "void", None),
        ("buy", [(101, 102.5, 100, 102)], "tp", "0.7901"),  # entry at the next open, not at the close
    ],
)
def test_the_first_level_touched_is_the_outcome(market, side, prices, outcome, pnl):
    record_signal(market, side)
    candles(market, *prices)
    row = score_and_read(market)
    assert row.outcome == outcome
    assert row.pnl_percent == (None if pnl is None else Decimal(pnl))
    assert row.outcome_final


def test_a_sell_earns_when_prices_fall(market):
    record_signal(market, "sell", {**BRACKET, "take_profit": 98.0, "stop_loss": 101.0})
    candles(market, (100, 100.5, 99, 99), (99, 99.5, 97, 98))
    row = score_and_read(market)
    assert (row.outcome, row.pnl_percent) == ("tp", Decimal("1.8000"))
    assert net_results() == {(market.pk, 6, ""): net_results()[market.pk, 6, ""]}
    assert net_results()[market.pk, 6, ""].total_percent == pytest.approx(1.8)


def test_an_outcome_is_provisional_first_and_waits_for_its_candles(market):
    record_signal(market)
    candles(market, (100, 101, 99.5, 100.5))
    assert score_and_read(market, minutes=29).outcome is None
    row = score_and_read(market, minutes=31)
    assert row.outcome == "timeout"
    assert not row.outcome_final
    assert score_and_read(market, minutes=41).outcome_final


def test_holds_are_never_scored(market):
    with clock.use(at_close_of(NEWEST)):
        record([Draft(market, NEWEST, 100.0, reasons=["LATE"])], clock.market_ms())
    candles(market, (100, 103, 98, 100))
    assert score_and_read(market).outcome is None


def test_a_sell_that_is_gapped_through_exits_at_the_open(market):
    record_signal(market, "sell", {**BRACKET, "take_profit": 98.0, "stop_loss": 101.0})
    candles(market, (100, 100.5, 99, 99), (104, 105, 103, 104))
    assert (score_and_read(market).outcome, score_and_read(market).pnl_percent) == ("sl", Decimal("-4.2000"))


@pytest.mark.parametrize(("final", "pnl"), [(True, "-1.2000"), (False, "-5.2000")])
def test_final_outcomes_of_the_former_rule_stay_and_are_verified(market, final, pnl):
    row = record_signal(market)
    candles(market, (100, 101, 99.5, 100.5), (95, 96, 94, 95))
    SignalLog.objects.filter(pk=row.pk).update(
        outcome="sl", pnl_percent=Decimal("-1.2"), outcome_final=final, outcome_at=clock.wall_now(), exit_rule=1
    )
    assert score_and_read(market).pnl_percent == Decimal(pnl)
    assert score_and_read(market).exit_rule == (1 if final else 2)
    assert verify_market(market).scored == 1
    SignalLog.objects.filter(pk=row.pk).update(pnl_percent=Decimal("-1.3"))
    with pytest.raises(BrokenRecord, match=r"-1\.3000, recomputed"):
        verify_market(market)
