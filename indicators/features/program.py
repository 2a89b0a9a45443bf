"""Recorded arithmetic in the order it is run: equal operations of many features side by side in one call.

For some hundred markets a call of NumPy costs more than the numbers it works on, so the thousand operations behind a
row are laid out as a few dozen calls on blocks of rows. What an element goes through is the same, so is every bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.features.recording import BEFORE, INPUT, Value

Place = slice | Integers
"""Rows of the registers: side by side, or anywhere."""


@dataclass(frozen=True)
class Call:
    """One function applied to blocks of register rows."""

    function: Any
    result: slice
    operands: tuple[Any, ...]


class Program:
    """The calls that bring some values up to the newest candle.

    Parameters
    ----------
    wanted : sequence of Value
        What must be in the registers afterwards.
    at : dict of int to int
        Register of each value (by its number) that is there already; those of this program are added to it.
    free : int
        First free register.
    """

    def __init__(self, wanted: Sequence[Value], at: dict[int, int], free: int) -> None:
        needed = _needed(wanted, at)
        self.computed = {value.number for value in needed}
        loads = [value for value in needed if value.function is BEFORE]
        self.inputs = [value for value in needed if value.function is INPUT]
        steps = min((_schedule(needed, largest) for largest in (True, False)), key=len)
        order = {value.number: position for position, value in enumerate(_by_use(loads, steps))}
        self.loads = sorted(loads, key=lambda value: order[value.number])
        self.loaded = slice(free, free + len(loads))
        for value in (*self.loads, *self.inputs):
            at[value.number] = free
            free += 1
        self.calls: list[Call] = []
        for function, values in steps:
            values.sort(key=lambda value: [at.get(_number(part), -1) for part in value.operands])
            for position, value in enumerate(values):
                at[value.number] = free + position
            result = slice(free, free + len(values))
            columns = zip(*(value.operands for value in values), strict=True)
            self.calls.append(Call(function, result, tuple(_operand(column, at) for column in columns)))
            free = result.stop
        self.free = free
        gathered = [_gathered(call) for call in self.calls]
        self.n_scratch = max((sum(rows) for rows in gathered), default=0)

    def run(self, registers: Floats) -> None:
        """Make every call; what is loaded and given is in the registers, of which the last are scratch."""
        for call in self.calls:
            scratch = len(registers)
            operands = []
            for operand in call.operands:
                if isinstance(operand, slice):
                    operands.append(registers[operand])
                elif isinstance(operand, np.ndarray) and operand.ndim == 1:
                    # Gathered into rows that are there already: fresh memory costs more than the copy.
                    room = registers[scratch - len(operand) : scratch]
                    scratch -= len(operand)
                    operands.append(registers.take(operand, axis=0, out=room, mode="clip"))
                else:
                    operands.append(operand)
            if isinstance(call.function, np.ufunc):
                call.function(*operands, out=registers[call.result])
            else:
                registers[call.result] = call.function(*operands)


def _gathered(call: Call) -> list[int]:
    return [len(part) for part in call.operands if isinstance(part, np.ndarray) and part.ndim == 1]


def place(rows: Sequence[int]) -> Place:
    """Rows as a slice where they follow each other."""
    found = np.array(rows, dtype=np.int64)
    if len(found) and (np.diff(found) == 1).all():
        return slice(int(found[0]), int(found[-1]) + 1)
    return found


def _number(part: Any) -> int:
    return part.number if isinstance(part, Value) else -1


def _operand(column: Sequence[Any], at: dict[int, int]) -> Any:
    """Where one operand of a call is: a number, a column of numbers, or registers."""
    if isinstance(column[0], Value):
        rows = {at[part.number] for part in column}
        return place(sorted(rows)) if len(rows) == 1 else place([at[part.number] for part in column])
    return column[0] if len(set(column)) == 1 else np.array(column)[:, None]


def _now(value: Value) -> list[Value]:
    """Values of the same candle this one is made of."""
    if value.function in (BEFORE, INPUT):
        return []
    return [part for part in value.operands if isinstance(part, Value)]


def _needed(wanted: Sequence[Value], at: dict[int, int]) -> list[Value]:
    """What has to be computed, loaded or given, in the order it was recorded."""
    found: dict[int, Value] = {}
    waiting = [value for value in wanted if value.number not in at]
    while waiting:
        value = waiting.pop()
        if value.number not in found:
            found[value.number] = value
            waiting += [part for part in _now(value) if part.number not in at]
    return [found[number] for number in sorted(found)]


def _schedule(needed: Sequence[Value], largest: bool) -> list[tuple[Any, list[Value]]]:
    """Group operations into calls: of all that can be done next, those of one function together."""
    depth, users = _depths(needed)
    lacking = dict.fromkeys(depth, 0)
    for values in users.values():
        for value in values:
            lacking[value.number] += 1
    ready: dict[tuple[Any, ...], list[Value]] = defaultdict(list)

    def offer(values: Sequence[Value]) -> None:
        for value in values:
            ready[(value.function, tuple(isinstance(part, Value) for part in value.operands))].append(value)

    def urgency(key: tuple[Any, ...]) -> tuple[int, int]:
        count = len(ready[key])
        return (-count, 0) if largest else (min(depth[value.number] for value in ready[key]), -count)

    offer([value for value in needed if lacking.get(value.number) == 0])
    steps = []
    while ready:
        chosen = min(ready, key=urgency)
        values = ready.pop(chosen)
        steps.append((chosen[0], values))
        for user in [user for value in values for user in users[value.number]]:
            lacking[user.number] -= 1
            if lacking[user.number] == 0:
                offer([user])
    return steps


def _depths(needed: Sequence[Value]) -> tuple[dict[int, int], dict[int, list[Value]]]:
    """How many operations lie below each operation, and the operations that wait for it."""
    depth: dict[int, int] = {}
    users: dict[int, list[Value]] = defaultdict(list)
    for value in needed:
        if value.function not in (BEFORE, INPUT):
            parts = {part.number for part in _now(value)} & depth.keys()
            depth[value.number] = 1 + max((depth[number] for number in parts), default=0)
            for number in parts:
                users[number].append(value)
    return depth, users


def _by_use(loads: Sequence[Value], steps: Sequence[tuple[Any, list[Value]]]) -> list[Value]:
    """Loads in the order of the calls that read them, so that most calls find theirs side by side."""
    used: dict[int, Value] = {}
    for _, values in steps:
        for column in zip(*(value.operands for value in values), strict=True):
            used.update((part.number, part) for part in column if isinstance(part, Value) and part.function is BEFORE)
    return [*used.values(), *(load for load in loads if load.number not in used)]
