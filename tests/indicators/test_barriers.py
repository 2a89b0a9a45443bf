import numpy as np
import pytest

from indicators.barriers import Touch, first_touch


def touch_of(side, take_profit, stop_loss, *candles):
    """Outcome of one window of (open, high, low, close) candles."""
    opens, highs, lows, closes = (np.array([column], dtype=float) for column in zip(*candles, strict=True))
    return first_touch(
        opens, highs, lows, closes, side=side, take_profit=np.array([take_profit]), stop_loss=np.array([stop_loss])
    )


QUIET = (100, 101, 99, 100)


@pytest.mark.parametrize(
    ("side", "take_profit", "stop_loss", "candles", "outcome", "length", "reached"),
    [
        ("buy", 102, 98, [QUIET, (100, 102, 99.5, 101)], Touch.TAKE_PROFIT, 2, 102),
        ("buy", 102, 98, [QUIET, (100, 101, 98, 99)], Touch.STOP_LOSS, 2, 98),
        ("sell", 98, 102, [QUIET, (100, 101, 98, 99)], Touch.TAKE_PROFIT, 2, 98),
        ("sell", 98, 102, [QUIET, (100, 102, 99.5, 101)], Touch.STOP_LOSS, 2, 102),
        ("buy", 102, 98, [QUIET, QUIET, (100, 101, 99, 100.5)], Touch.NEITHER, 3, 100.5),
        ("buy", 102, 98, [(100, 103, 97, 100), QUIET], Touch.STOP_LOSS, 1, 98),
        ("sell", 98, 102, [(100, 103, 97, 100), QUIET], Touch.STOP_LOSS, 1, 102),
        # Gapped through: a stop is filled at the open, a take-profit at its level.
        ("buy", 102, 98, [QUIET, (95, 96, 94, 95)], Touch.STOP_LOSS, 2, 95),
        ("buy", 102, 98, [QUIET, (98, 99, 97, 98)], Touch.STOP_LOSS, 2, 98),
        ("buy", 102, 98, [QUIET, (95, 103, 94, 95)], Touch.STOP_LOSS, 2, 95),
        ("buy", 102, 98, [QUIET, (105, 106, 104, 105)], Touch.TAKE_PROFIT, 2, 102),
        ("buy", 102, 98, [QUIET, (105, 106, 97, 105)], Touch.STOP_LOSS, 2, 98),
        ("sell", 98, 102, [QUIET, (105, 106, 104, 105)], Touch.STOP_LOSS, 2, 105),
        ("sell", 98, 102, [QUIET, (95, 96, 94, 95)], Touch.TAKE_PROFIT, 2, 98),
    ],
)
def test_outcomes_of_known_windows(side, take_profit, stop_loss, candles, outcome, length, reached):
    found = touch_of(side, take_profit, stop_loss, *candles)
    assert (Touch(found.outcome[0]), found.candles[0], found.exit[0]) == (outcome, length, reached)
    assert found.entry[0] == 100


def test_both_levels_in_one_candle_is_a_stop_loss_and_is_marked():
    assert touch_of("buy", 102, 98, (100, 103, 97, 100)).ambiguous.tolist() == [True]
    assert touch_of("buy", 102, 98, (100, 103, 99, 100), (100, 103, 97, 100)).ambiguous.tolist() == [False]


@pytest.mark.parametrize(
    ("side", "levels"), [("buy", (100, 98)), ("buy", (102, 100)), ("sell", (100, 102)), ("sell", (98, 99.5))]
)
def test_a_level_already_passed_at_the_open_is_void(side, levels):
    found = touch_of(side, *levels, QUIET)
    assert Touch(found.outcome[0]) == Touch.VOID
    assert np.isnan(found.exit[0])
    assert np.isnan(found.gross_return(side)[0])


def test_a_hole_or_a_missing_level_is_unknown_even_after_a_touch():
    hole = (np.nan,) * 4
    assert touch_of("buy", 102, 98, (100, 103, 99, 100), hole).outcome.tolist() == [Touch.UNKNOWN]
    assert touch_of("buy", np.nan, 98, QUIET).outcome.tolist() == [Touch.UNKNOWN]


def test_gross_return_has_the_sign_of_the_side():
    assert touch_of("buy", 102, 98, (100, 102, 99, 101)).gross_return("buy")[0] == pytest.approx(0.02)
    assert touch_of("sell", 98, 102, (100, 102, 99, 101)).gross_return("sell")[0] == pytest.approx(-0.02)


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="buy or sell"):
        touch_of("hold", 102, 98, QUIET)


def test_the_lower_barrier_is_the_take_profit_of_a_sell_and_filled_at_its_level():
    gapped = touch_of("buy", 102, 98, QUIET, (95, 96, 94, 95))
    assert gapped.gross_return("buy")[0] == pytest.approx(-0.05)
    assert gapped.move_to_barrier(np.array([98.0]))[0] == pytest.approx(-0.02)
    assert touch_of("buy", 102, 98, QUIET, (105, 106, 104, 105)).move_to_barrier(np.array([98.0]))[0] == pytest.approx(
        0.02
    )
    assert touch_of("buy", 99.5, 98, QUIET).move_to_barrier(np.array([98.0]))[0] == 0.0
