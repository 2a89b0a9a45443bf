"""Decision rules on hand-made probabilities: pricing, choice and emission."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelregistry.estimators.bracket_calibration import expected_return
from predictions.forecasting.pricing import break_even, costs_of
from signals.drafting import edge_text
from signals.rules import decide


class ConstantProbabilities:
    """Same probabilities for every bracket, mean return 0 without touch."""

    def __init__(self, p_tp, p_sl):
        self.p_tp, self.p_sl = p_tp, p_sl

    def ends(self, horizon, side, take_profit, stop_loss):
        shape = np.shape(take_profit)
        parts = [np.full(shape, self.p_tp), np.full(shape, self.p_sl), np.full(shape, 1 - self.p_tp - self.p_sl)]
        return np.stack(parts, axis=-1), np.zeros(shape)

    def ends_of_sides(self, horizon, above, below):
        return self.ends(horizon, "buy", above, below), self.ends(horizon, "sell", below, above)

    def standard_error(self, horizon, side):
        return 0.02


class ConstantRange:
    """Forecast of plus and minus one percent at every horizon."""

    horizons = (6, 72)

    def __init__(self, rows=1, width=0.01):
        self.high = np.full((rows, 2, 7), 100 * (1 + width))
        self.low = np.full((rows, 2, 7), 100 * (1 - width))


def decide_one(probabilities, fee_rate=0.001, direction=None, width=0.01):
    return decide(
        probabilities, ConstantRange(width=width), np.array([100.0]), horizons=(6, 72), fee_rate=fee_rate, slippage_bps=1.0,
        direction=direction,
    )  # fmt: skip


def test_fair_probabilities_give_no_signal():
    found = decide_one(ConstantProbabilities(0.25, 0.75))
    assert not found.emitted[0]
    # The best bracket: the farthest target and the nearest stop, three to one against.
    assert found.best.take_profit[0] == pytest.approx(102.0)
    assert found.best.stop_loss[0] == pytest.approx(99.25)
    assert found.best.expected_net_return[0] < 0


def test_a_high_probability_is_a_signal_with_the_widest_target():
    found = decide_one(ConstantProbabilities(0.9, 0.1))
    assert found.emitted[0]
    assert found.side[0] == "buy"
    net = 0.9 * 0.02 - 0.1 * 0.0075 - 0.0021
    assert found.best.expected_net_return[0] == pytest.approx(net)
    assert found.best.p_break_even[0] == pytest.approx((0.0075 + 0.0021) / 0.0275)


def test_an_edge_within_the_error_of_the_probability_is_no_signal():
    p = 0.305  # expected 0.305 * 2 - 0.695 * 0.75 - 0.01 percent: above zero, but not by enough
    found = decide_one(ConstantProbabilities(p, 1 - p), fee_rate=0.0)
    assert found.best.expected_net_return[0] > 0
    assert found.best.lower_bound[0] < 0
    assert not found.emitted[0]
    text = edge_text(found, 0)
    assert f"expected to return {found.best.expected_net_return[0]:+.4%} after costs, but that is not certain" in text
    assert f"lower bound of the expectation is {found.best.lower_bound[0]:+.4%}" in text


def test_the_text_of_a_refusal_names_the_condition_that_was_not_met():
    assert "is expected to return -" in edge_text(decide_one(ConstantProbabilities(0.25, 0.75)), 0)
    against = decide_one(ConstantProbabilities(0.9, 0.1), direction=np.array([[0.1, 0.3, 0.6]]))
    assert against.opposed[0]
    assert "the signal classifier favours the other side" in edge_text(against, 0)
    # Not certain and opposed: the first condition that fails is the one named.
    both = decide_one(ConstantProbabilities(0.305, 0.695), fee_rate=0.0, direction=np.array([[0.1, 0.3, 0.6]]))
    assert "not certain enough" in edge_text(both, 0)


def test_a_direction_that_favours_the_other_side_gives_a_hold():
    against = np.array([[0.1, 0.3, 0.6]])
    assert not decide_one(ConstantProbabilities(0.9, 0.1), direction=against).emitted[0]
    assert decide_one(ConstantProbabilities(0.9, 0.1), direction=np.array([[0.3, 0.1, 0.6]])).emitted[0]


def test_levels_lie_on_their_sides_even_for_the_smallest_prices():
    found = decide_one(ConstantProbabilities(0.4, 0.6), width=1e-12)
    assert (found.chosen.take_profit[0, :, 0] > 100).all()
    assert (found.chosen.stop_loss[0, :, 0] < 100).all()
    assert (found.chosen.take_profit[0, :, 1] < 100).all()


@given(st.floats(0.001, 0.05), st.floats(0.001, 0.05), st.floats(0, 1), st.floats(-0.01, 0.01), st.floats(0, 0.01))
def test_at_break_even_the_expected_return_is_zero(a, b, p_neither, m, costs):
    a, b, p_neither, m = (np.array([value]) for value in (a, b, p_neither, m))
    p = break_even(p_neither, a, b, m, costs)
    ends = np.stack([p, 1 - p_neither - p, p_neither], axis=-1)
    assert expected_return(ends, a, b, m)[0] - costs == pytest.approx(0, abs=1e-12)


def test_costs_are_two_fees_and_the_slippage():
    assert costs_of(0.00075, 2.0) == pytest.approx(0.0017)


def test_rows_are_decided_alike_alone_and_together():
    rng = np.random.default_rng(1)
    widths = rng.uniform(0.001, 0.02, 50)
    ranges = ConstantRange(50)
    ranges.high, ranges.low = (
        100 * (1 + widths)[:, None, None] * np.ones((1, 2, 7)),
        100 * (1 - widths)[:, None, None] * np.ones((1, 2, 7)),
    )
    close = np.full(50, 100.0)
    together = decide(
        ConstantProbabilities(0.45, 0.35), ranges, close, horizons=(6, 72), fee_rate=0.001, slippage_bps=1.0
    )
    for row in range(0, 50, 7):
        one = ConstantRange(1)
        one.high, one.low = ranges.high[row : row + 1], ranges.low[row : row + 1]
        alone = decide(
            ConstantProbabilities(0.45, 0.35), one, close[:1], horizons=(6, 72), fee_rate=0.001, slippage_bps=1.0
        )
        assert alone.best.expected_net_return[0] == together.best.expected_net_return[row]
        assert alone.best.take_profit[0] == together.best.take_profit[row]
