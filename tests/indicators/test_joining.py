"""Steps are joined only where nothing else needs what passes between them."""

from indicators.features.joining import joined
from indicators.features.operations import Code, Part, Step

CLOSE = Step(Code.INPUT, name="close")


def ladder(*lags):
    """Each step doubles the one before it."""
    return [CLOSE, *(Step(Code.ADD, (Part(at), Part(at, lag))) for at, lag in enumerate(lags))]


def test_two_levels_become_one_that_looks_back_as_far():
    found = joined(ladder(1, 2), {2})[2]
    assert found == Step(Code.ADD_FOUR, (Part(0), Part(0, 1), Part(0, 2), Part(0, 3)))


def test_weights_stay_with_their_level():
    steps = [CLOSE, Step(Code.WEIGH, (Part(0), Part(0, 1), 0.5)), Step(Code.WEIGH, (Part(1), Part(1, 2), 0.25))]
    assert joined(steps, {2})[2] == Step(Code.WEIGH_FOUR, (Part(0), Part(0, 1), 0.5, Part(0, 2), Part(0, 3), 0.25))


def test_every_second_level_is_taken_in():
    assert [step.code for step in joined(ladder(1, 2, 4, 8), {4})][2::2] == [Code.ADD_FOUR] * 2


def test_what_another_step_or_a_result_needs_is_left_alone():
    steps = ladder(1, 2)
    assert joined(steps, {1, 2}) == steps
    read_twice = [*steps, Step(Code.NEGATIVE, (Part(1),))]
    assert joined(read_twice, {2, 3}) == read_twice


def test_a_sum_of_some_candles_ago_is_not_taken_into_a_quotient_of_now():
    steps = [*ladder(1), Step(Code.DIVIDE, (Part(1, 5), 3.0))]
    assert joined(steps, {2}) == steps


def test_three_steps_become_one():
    less_level = Step(Code.SUBTRACT, (Part(2), Part(0)))
    steps = [*ladder(1), Step(Code.DIVIDE, (Part(1), 3.0)), less_level, Step(Code.SUBTRACT, (Part(3), 0.5))]
    assert joined(steps, {4})[4] == Step(Code.SUM_OVER_LESS, (Part(0), Part(0, 1), 3.0, Part(0), 0.5))


def test_a_logarithm_overwrites_only_what_nothing_else_reads():
    steps = [CLOSE, Step(Code.COPY, (Part(0),)), Step(Code.LOG, (Part(1),))]
    assert joined(steps, {2})[2] == Step(Code.LOG, (Part(0),))
    assert joined(steps, {0, 2})[2] == steps[2]
