"""Where the steps behind some features find their numbers when they are run over a tile of candles at a time.

All series of one market lie in one stretch of memory that fits the processor's cache. A row is used again once its last
reader is done, so that most of what is read was written just before. What later steps look back at is recalled from the
tile before to stand in front of a row, and remembered for the next tile as soon as the row is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats, Integers
from indicators.features import families
from indicators.features.operations import TRANSCENDENTAL, Code, Operand, Part
from indicators.features.recording import RecordedWindow, Value
from indicators.features.steps import Steps

TILE = 1280
"""Candles at a time: fewer are called too often, more do not stay in the cache."""
ROW = TILE + 8
"""Floats of a row: rows a power of two apart would share their lines of the cache."""

Instructions = npt.NDArray[np.uint64]
WITH_NUMBER = (Code.MULTIPLY, Code.MAXIMUM)
"""Steps with loops of their own for a number as the second operand, which need not be read again for every candle.

To other steps a number is a row that is the same all along.
"""
WITH_A_NUMBER = 64
"""Added to the code of such a step."""
WIDTH = 8
"""A code, the place of the result and of up to six operands."""
FRONTS = (0, 64, 512, 4096)
"""Candles in front of a row: few kinds, so that rows can be used again."""


@dataclass(frozen=True)
class Segment:
    """Instructions that follow each other, then functions NumPy applies to whole rows in place."""

    instructions: Instructions
    """Shape (k, `WIDTH`): code, result, operands, all but the code places in memory."""
    applied: list[tuple[Code, slice]]


@dataclass(frozen=True, eq=False)
class Tape:
    """Everything a run over the candles of one market needs to know."""

    segments: list[Segment]
    inputs: dict[str, int]
    constants: dict[float, int]
    histories: slice
    """What is remembered from one tile to the next, zeros before the first."""
    results: Integers
    """Places of the rows of results."""
    length: int
    """Floats in all."""


class _Layout:
    """Steps in the order they are run, and the memory they are given."""

    def __init__(self, steps: Steps) -> None:
        self.steps = list(steps.taken)
        self.depth = dict.fromkeys(range(len(self.steps)), 0)
        self.results = steps.results
        for part in (*self.results, *(part for step in self.steps for part in step.parts)):
            self.depth[part.step] = max(self.depth[part.step], part.lag)
        self.readers = Counter(part.step for step in self.steps for part in step.parts)
        self.stage: list[int] = []
        for step in self.steps:
            below = max((self.stage[part.step] for part in step.parts), default=0)
            self.stage.append(below + (step.code in TRANSCENDENTAL))
        self.length = 0
        self.at: dict[int, int] = {}
        self.constants: dict[float, int] = {}
        self.remembered = {i: self.room(depth) for i, depth in self.depth.items()}
        self.histories = slice(0, self.length)

    def room(self, floats: int) -> int:
        """Place of so many floats, at the beginning of a line of the cache."""
        place = self.length
        self.length += -(-floats // 8) * 8
        return place

    def tape(self) -> Tape:
        n_stages = max(self.stage) + 1
        applied = [self._applied(stage) for stage in range(1, n_stages)]
        segments = [
            Segment(np.array(instructions, dtype=np.uint64).reshape(-1, WIDTH), after)
            for instructions, after in zip(self._instructions(n_stages), [*applied, []], strict=True)
        ]
        return Tape(
            segments=segments,
            inputs={step.name: self.at[i] for i, step in enumerate(self.steps) if step.code is Code.INPUT},
            constants=self.constants,
            histories=self.histories,
            results=np.array([self._place(part) for part in self.results], dtype=np.int64),
            length=self.length,
        )

    def _applied(self, stage: int) -> list[tuple[Code, slice]]:
        """Rows side by side for all logarithms of a stage, so that they are one call, and what they are taken of."""
        found = []
        for code in TRANSCENDENTAL:
            chosen = [i for i, step in enumerate(self.steps) if step.code is code and self.stage[i] == stage]
            block = self.room(len(chosen) * ROW)
            for k, i in enumerate(chosen):
                (part,) = self.steps[i].parts
                assert self.readers[part.step] == 1, "what a logarithm overwrites is read by nothing else"
                assert not part.lag, "and is of the same candle"
                self.at[i] = self.at[part.step] = block + k * ROW
            if chosen:
                found.append((code, slice(block, self.length)))
        return found

    def _row(self, front: int) -> int:
        return self.room(front + ROW) + front

    def _moved(self, stage: int) -> list[list[int]]:
        """Rows of their own for inputs, and for logarithms something looks back at: theirs lie side by side."""
        found = []
        for i, step in enumerate(self.steps):
            if self.stage[i] != stage or not (i in self.at or step.code is Code.INPUT):
                continue
            if self.depth[i]:
                place = self._row(_front(self.depth[i]))
                copied = [_instruction(Code.COPY, place, self.at[i])] if i in self.at else []
                self.at[i] = place
                found += self._with_history(i, copied)
            elif i not in self.at:
                self.at[i] = self._row(0)
        return found

    def _with_history(self, i: int, instructions: list[list[int]]) -> list[list[int]]:
        depth, before = self.depth[i], self.at[i] - self.depth[i]
        if not depth:
            return instructions
        recall = _instruction(Code.RECALL, before, self.remembered[i], depth)
        return [recall, *instructions, _instruction(Code.REMEMBER, self.remembered[i], before, depth)]

    def _instructions(self, n_stages: int) -> list[list[list[int]]]:
        ordered = [
            i
            for stage in range(n_stages)
            for i, step in enumerate(self.steps)
            if self.stage[i] == stage and step.code not in {*TRANSCENDENTAL, Code.INPUT}
        ]
        last = {part.step: turn for turn, i in enumerate(ordered) for part in self.steps[i].parts}
        found = [self._moved(stage) for stage in range(n_stages)]
        lasting = {*self.at, *(part.step for part in self.results)}
        free: dict[int, list[int]] = {front: [] for front in FRONTS}
        for turn, i in enumerate(ordered):
            if i not in self.at:
                # Never the row of an operand: what overlaps cannot be computed several at a time.
                front = _front(self.depth[i])
                self.at[i] = free[front].pop() if free[front] else self._row(front)
            places = [self._place(operand) for operand in self.steps[i].operands]
            code = int(self.steps[i].code)
            if code in WITH_NUMBER and isinstance(self.steps[i].operands[1], float):
                code += WITH_A_NUMBER
            found[self.stage[i]] += self._with_history(i, [_instruction(code, self.at[i], *places)])
            for step in sorted({part.step for part in self.steps[i].parts} - lasting):
                if last[step] == turn:
                    free[_front(self.depth[step])].append(self.at[step])
        return found

    def _place(self, operand: Operand) -> int:
        if isinstance(operand, Part):
            return self.at[operand.step] - operand.lag
        if operand not in self.constants:
            self.constants[operand] = self.room(ROW)
        return self.constants[operand]


def _front(depth: int) -> int:
    return next(front for front in FRONTS if front >= depth)


def _instruction(code: int, result: int, *operands: int) -> list[int]:
    return [int(code), result, *operands, *[0] * (WIDTH - 2 - len(operands))]


def tape_of(wanted: Sequence[Value]) -> Tape:
    """Lay out the steps behind some recorded values."""
    return _Layout(Steps(wanted)).tape()


@dataclass(frozen=True)
class FeatureTape:
    """The features but the calendar, then counts of candles present and how many each row must have."""

    tape: Tape
    n_features: int
    least: list[float]
    spare: list[Floats] = field(default_factory=list)
    """Memory of runs that have ended, for the next ones: fresh memory costs a tenth of a run."""


@lru_cache(maxsize=4)
def feature_tape(complete: bool, n_features: int | None = None) -> FeatureTape:
    """Record the families (the first `n_features` columns of them) and lay them out."""
    window = RecordedWindow(complete=complete)
    taken: Any = window
    features: list[Any] = [value for family in families.CANDLE_FAMILIES for _, value in family(taken)][:n_features]
    presence = window.presence()
    tape = tape_of([*features, *(count for count, _ in presence)])
    return FeatureTape(tape, len(features), [least for _, least in presence])
