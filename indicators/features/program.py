"""Recorded arithmetic in the order it is run: equal operations of many features side by side in one call.

For some hundred markets a call of NumPy costs as much as the numbers it works on, so the thousand operations behind a
row are laid out as a few hundred calls on blocks of rows. What an element goes through is the same, so is every bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
        asked = needed(wanted, at)
        loads = [value for value in asked if value.function is BEFORE]
        self.inputs = [value for value in asked if value.function is INPUT]
        steps = min((_schedule(asked, largest) for largest in (True, False)), key=len)
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
            free += len(values)
            for run in _runs(values, at) if isinstance(function, np.ufunc) else [values]:
                first = at[run[0].number]
                columns = zip(*(value.operands for value in run), strict=True)
                operands = tuple(_operand(column, at) for column in columns)
                self.calls.append(Call(function, slice(first, first + len(run)), operands))
        self.free = free
        gathered = [_gathered(call) for call in self.calls]
        self.n_scratch = max((sum(rows) for rows in gathered), default=0)

    def bind(self, registers: Floats) -> Run:
        """Calls on the rows of these registers, of which the last are scratch."""
        return Run(self.calls, registers)


class Run:
    """The calls of a program on registers of their own: what is loaded and given must be in them.

    Parameters
    ----------
    calls : sequence of Call
    registers : float64 array of shape (rows, m)
        The last rows are scratch.
    """

    def __init__(self, calls: Sequence[Call], registers: Floats) -> None:
        self._registers = registers
        self._calls = [self._bound(call) for call in calls]

    def __call__(self) -> None:
        """Make every call."""
        for call in self._calls:
            call()

    def _bound(self, call: Call) -> Callable[[], object]:
        """One call on views: to cut them out each time costs as much as a call on one row."""
        result = self._rows(call.result)
        gathers, operands, scratch = [], [], len(self._registers)
        for operand in call.operands:
            if isinstance(operand, slice):
                operands.append(self._rows(operand))
            elif isinstance(operand, np.ndarray) and operand.ndim == 1:
                # Gathered into rows that are there already: fresh memory costs more than the copy.
                room = self._registers[scratch - len(operand) : scratch]
                scratch -= len(operand)
                operands.append(room)
                gathers.append((operand, room))
            else:
                operands.append(np.asarray(operand))
        if isinstance(call.function, np.ufunc):
            return partial(call.function, *operands, out=result)
        return partial(self._apply, call.function, gathers, operands, result)

    def _apply(self, function: Any, gathers: Sequence[Any], operands: Sequence[Any], result: Floats) -> None:
        for rows, room in gathers:
            self._registers.take(rows, axis=0, out=room, mode="clip")
        result[...] = function(*operands)

    def _rows(self, place: slice) -> Floats:
        """Rows, or a row alone, which has one axis less to go through."""
        rows = self._registers[place]
        return rows[0] if len(rows) == 1 else rows


def _runs(values: Sequence[Value], at: dict[int, int]) -> list[list[Value]]:
    """Values whose operands lie side by side: a call on a row costs less than to gather it, or to skip others."""
    runs: list[list[Value]] = []
    last: list[int] = []
    for value in values:
        here = [at[part.number] for part in value.operands if isinstance(part, Value)]
        if here == [row + 1 for row in last]:
            runs[-1].append(value)
        else:
            runs.append([value])
        last = here
    return runs


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


def needed(wanted: Sequence[Value], at: dict[int, int]) -> list[Value]:
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
