"""Returns of bracket strategies, on offers with known outcomes."""

import numpy as np
import pytest

from modelregistry.evaluation.metrics.strategies import (
    FEES,
    Offers,
    offers_of,
    strategy_table,
    strategy_trades,
    trade_summary,
)

DAY = 86_400_000
STEP = 300_000


def cell(times, gross, expected=0.0, error_margin=0.0, trend=1.0):
    like = np.ones(len(times))
    return {"when": times, "gross": gross * like, "expected": expected * like, "error_margin": error_margin * like,
            "trend": trend * like}  # fmt: skip


def by_name(table, fee=0.001):
    return {row["strategy"]: row for row in table if row["fee_percent"] == pytest.approx(100 * fee)}


@pytest.fixture
def falling():
    """Forty days of falling prices: every buy lost and every sell won one percent."""
    times = np.arange(0, 40 * DAY, 6 * STEP)
    return {
        ("BTCUSDT", 12, "buy", "1x1"): cell(times, -0.01, trend=-1.0),
        ("BTCUSDT", 12, "sell", "1x1"): cell(times, 0.01, expected=0.0015, error_margin=0.0005, trend=-1.0),
    }


def test_every_strategy_takes_its_side(falling):
    found = by_name(strategy_table(falling))
    assert found["always_long"]["realised_bps"] == pytest.approx(-121)
    assert found["momentum"]["realised_bps"] == pytest.approx(79)
    assert -121 < found["random"]["realised_bps"] < 79
    assert found["random"] == by_name(strategy_table(falling))["random"]


def test_the_rules_act_only_where_the_lower_bound_pays_the_costs(falling):
    table = strategy_table(falling)
    assert by_name(table)["rules"] == {"strategy": "rules", "fee_percent": 0.1, "trades": 0, "days": 0}
    cheap = by_name(table, FEES[-1])["rules"]
    assert cheap["expected_bps"] == pytest.approx(10)
    assert cheap["realised_bps"] == pytest.approx(95)
    doubtful = {key: {**columns, "error_margin": columns["error_margin"] + 0.002} for key, columns in falling.items()}
    assert by_name(strategy_table(doubtful), FEES[-1])["rules"]["trades"] == 0


def test_a_market_holds_one_position_until_its_horizon_is_over(falling):
    found = by_name(strategy_table(falling))["always_long"]
    assert found["trades"] == 40 * 24  # one an hour, though there is an offer every half hour
    assert found["days"] == 40


def test_markets_hold_positions_of_their_own(falling):
    both = falling | {("ETHUSDT", *key[1:]): columns for key, columns in falling.items()}
    found = by_name(strategy_table(both))["always_long"]
    assert found["trades"] == 2 * 40 * 24


def test_offers_without_an_outcome_are_not_taken():
    times = np.arange(4) * STEP
    late = {("X", 2, "buy", "1x1"): cell(times, 0.01), ("X", 2, "sell", "1x1"): cell(times[:1], 0.01)}
    offers = offers_of(late, "X")
    assert np.isnan(offers.gross[:, 1]).tolist() == [False, True, True, True]
    assert len(list(strategy_trades(offers, "momentum", 0.0))) == 2
    offers.gross[0, 0] = np.nan
    assert [at for at, *_ in strategy_trades(offers, "always_long", 0.0)] == [STEP, 3 * STEP]


def test_the_best_expected_bracket_is_taken():
    times = np.arange(3) * STEP
    gross, expected = np.array([[0.01, 0.02]] * 3), np.array([[0.0, 0.001], [0.001, 0.0], [0.0, 0.001]])
    zero = np.zeros((3, 2))
    offers = Offers(times, np.array([1, 1]), np.ones(2), expected, zero, gross, zero)
    assert [net for *_, net in strategy_trades(offers, "always_long", 0.0)] == [0.02, 0.01, 0.02]


def test_few_days_give_no_verdict():
    trades = [(day * DAY, 0.01, 0.01) for day in range(29)]
    assert trade_summary(trades)["inside"] is None
    assert trade_summary([*trades, (29 * DAY, 0.01, 0.01)])["inside"] is True
    assert trade_summary([(at, 0.02, net) for at, _, net in [*trades, (29 * DAY, 0.01, 0.0101)]])["inside"] is False
