"""Recorded arithmetic is laid out in few calls, and every call does what each of its values would."""

import numpy as np
import pytest

from indicators.features.held import recipe
from indicators.features.recording import BEFORE, INPUT, Value


@pytest.mark.parametrize("complete", [True, False])
def test_every_value_is_computed_once_after_what_it_is_made_of(complete):
    told = recipe(complete)
    there = {value.number for value in told.ahead.loads}
    for program in (told.ahead, told.push, told.rows):
        there |= {value.number for value in program.inputs}
        for value in program.computed:
            assert value.number not in there
            assert {part.number for part in value.operands if isinstance(part, Value)} <= there
            there.add(value.number)
    assert set(told.features) <= {told.at[number] for number in there}


@pytest.mark.parametrize("complete", [True, False])
def test_no_two_values_share_a_register_and_calls_write_each_once(complete):
    told = recipe(complete)
    assert len(set(told.at.values())) == len(told.at)
    written = [row for p in (told.ahead, told.push, told.rows) for call in p.calls for row in _rows(call.result)]
    assert len(set(written)) == len(written)
    assert max(written) < told.rows.free


@pytest.mark.parametrize("complete", [True, False])
def test_a_call_reads_for_every_row_what_its_value_is_made_of(complete):
    told = recipe(complete)
    for program in (told.ahead, told.push, told.rows):
        by_row = {told.at[value.number]: value for value in program.computed}
        for call in program.calls:
            for offset, row in enumerate(_rows(call.result)):
                value = by_row[row]
                assert value.function is call.function
                assert value.function not in (BEFORE, INPUT)
                for part, operand in zip(value.operands, call.operands, strict=True):
                    expected = told.at[part.number] if isinstance(part, Value) else part
                    assert _read(operand, offset) == expected


def test_a_candle_of_whole_markets_takes_few_calls():
    told = recipe(True)
    values = len(told.push.computed) + len(told.rows.computed)
    assert values > 500
    # A call costs as much as the numbers of 300 markets it works on.
    assert len(told.push.calls) + len(told.rows.calls) <= 300


def _rows(place):
    return range(place.start, place.stop)


def _read(operand, offset):
    """What an operand gives the row at an offset: a register or a number; one alone serves every row."""
    if isinstance(operand, slice):
        rows = _rows(operand)
        return rows[offset if len(rows) > 1 else 0]
    if isinstance(operand, np.ndarray):
        return operand.reshape(-1)[offset]
    return operand
