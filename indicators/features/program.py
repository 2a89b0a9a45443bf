"""Recorded arithmetic in the order it is run: equal operations of many features side by side in one call.

For some hundred markets a call of NumPy costs as much as the numbers it works on, so the thousand operations behind a
row are laid out as a few hundred calls on blocks of rows. What an element goes through is the same, so is every bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from indicators.arrays import Floats, Integers
from indicators.features.recording import BEFORE, INPUT, Value

Place = slice | Integers
"""Rows of the registers: side by side, or anywhere."""
ANYWHERE = -1
"""Place of what is laid down later, where it suits."""


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
    read_first : sequence of Value
        What later programs read of this one, in their order: it is laid down so, at the cost of calls here.
    """

    def __init__(
        self, wanted: Sequence[Value], at: dict[int, int], free: int, read_first: Sequence[Value] = ()
    ) -> None:
        asked = needed(wanted, at)
        loads = [value for value in asked if value.function is BEFORE]
        self.inputs = [value for value in asked if value.function is INPUT]
        self.loaded = slice(free, free + len(loads))
        at.update((value.number, row) for row, value in enumerate(self.inputs, start=self.loaded.stop))
        rank = {value.number: position for position, value in enumerate(read_first)}
        height = _heights(asked)
        self.computed: list[Value] = []
        first = self.loaded.stop + len(self.inputs)
        steps = min((_schedule(asked, largest) for largest in (True, False)), key=len)
        for _, values in steps:
            _arrange(values, at, height, rank)
            at.update((value.number, first + position) for position, value in enumerate(values, len(self.computed)))
            self.computed += values
        self.free = first + len(self.computed)
        order: dict[int, int] = {}
        for value in (*read_first, *_loads_of(self.computed), *loads):
            order.setdefault(value.number, len(order))
        self.loads = sorted(loads, key=lambda value: order[value.number])
        at.update((value.number, row) for row, value in enumerate(self.loads, start=free))
        self.calls = [call for function, values in steps for call in _calls(function, values, at)]
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
        if call.function in (np.maximum, np.minimum):
            return partial(call.function, *operands, out=result)
        if isinstance(call.function, np.ufunc):
            # A result named takes half as long again; the two above may not be given theirs in its place.
            return partial(call.function, *operands, result)
        return partial(self._apply, call.function, gathers, operands, result)

    def _apply(self, function: Any, gathers: Sequence[Any], operands: Sequence[Any], result: Floats) -> None:
        for rows, room in gathers:
            self._registers.take(rows, axis=0, out=room, mode="clip")
        result[...] = function(*operands)

    def _rows(self, place: slice) -> Floats:
        """Rows, or a row alone, which has one axis less to go through."""
        rows = self._registers[place]
        return rows[0] if len(rows) == 1 else rows


def read_from(values: Sequence[Value], programs: Sequence[Program]) -> list[Value]:
    """Which of these values the programs read, in the order in which they do."""
    among = {value.number for value in values}
    read = (part for program in programs for value in program.computed for part in value.operands)
    return list({part.number: part for part in read if isinstance(part, Value) and part.number in among}.values())


def _loads_of(values: Sequence[Value]) -> list[Value]:
    """Loads among the operands, in the order in which they are read."""
    return [part for value in values for part in value.operands if isinstance(part, Value) and part.function is BEFORE]


def _calls(function: Any, values: Sequence[Value], at: dict[int, int]) -> list[Call]:
    """Calls that compute the values of a step, which lie side by side."""
    made = []
    for run in _runs(values, at) if isinstance(function, np.ufunc) else [values]:
        first = at[run[0].number]
        columns = zip(*(value.operands for value in run), strict=True)
        operands = tuple(_operand(column, at) for column in columns)
        made.append(Call(function, slice(first, first + len(run)), operands))
    return made


def _arrange(values: list[Value], at: dict[int, int], height: dict[int, int], rank: dict[int, int]) -> None:
    """Order the values of a step for few calls, here or later.

    What has a rank stands by it. Where operands lie side by side they stay so. Where that gains nothing, those with
    most to come stand first: of sums that go on doubling the ones that end earlier are then always the last, and leave
    no gaps. Where loads lie is left out, for they are laid to suit.
    """
    if any(value.number in rank for value in values):
        values.sort(key=lambda value: rank.get(value.number, len(rank)))
        return

    def read(value: Value) -> list[int]:
        parts = (part for part in value.operands if isinstance(part, Value))
        return [ANYWHERE if part.function is BEFORE else at[part.number] for part in parts]

    by_place = sorted(values, key=read)
    by_height = sorted(values, key=lambda value: (-height[value.number], read(value)))
    values[:] = min((by_height, by_place), key=lambda order: len(_cuts([read(value) for value in order])))


def _cuts(read: Sequence[list[int]]) -> list[int]:
    """Where a new call must begin: in one, every operand goes on by one register from value to value, or stays."""
    cuts: list[int] = [0]
    step: list[int] | None = None
    for position, (last, here) in enumerate(pairwise(read), start=1):
        taken = [after - before for before, after in zip(last, here, strict=True)]
        if {*taken} <= {0, 1} and step in (None, taken):
            step = taken
        else:
            cuts.append(position)
            step = None
    return cuts


def _runs(values: Sequence[Value], at: dict[int, int]) -> list[Sequence[Value]]:
    """Values whose operands lie side by side: a call on a row costs less than to gather it, or to skip others."""
    read = [[at[part.number] for part in value.operands if isinstance(part, Value)] for value in values]
    return [values[first:last] for first, last in pairwise([*_cuts(read), len(values)])]


def _gathered(call: Call) -> list[int]:
    return [len(part) for part in call.operands if isinstance(part, np.ndarray) and part.ndim == 1]


def place(rows: Sequence[int]) -> Place:
    """Rows as a slice where they follow each other."""
    found = np.array(rows, dtype=np.int64)
    if len(found) and (np.diff(found) == 1).all():
        return slice(int(found[0]), int(found[-1]) + 1)
    return found


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


def _heights(needed: Sequence[Value]) -> dict[int, int]:
    """How many operations follow each value one after the other."""
    height = {value.number: 0 for value in needed}
    for value in reversed(needed):
        for part in _now(value):
            if part.number in height:
                height[part.number] = max(height[part.number], height[value.number] + 1)
    return height
