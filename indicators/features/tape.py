"""Where the steps behind some features find their numbers when they are run over a few hundred candles at a time.

All series of one market lie in one stretch of memory that fits the processor's cache: a row for each, with as many
candles before it as later steps look back at. A row nobody looks back at is used again once its last reader is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats, Integers
from indicators.features import activity, direction, season, size
from indicators.features.recording import RecordedWindow, Value
from indicators.features.steps import Code, Part, Step, Steps

TILE = 768
"""Candles at a time: fewer are called too often, more do not stay in the cache."""
ROW = TILE + 8
"""Floats of a row: rows a power of two apart would share their lines of the cache."""
TRANSCENDENTAL = (Code.LOG, Code.EXP)

Instructions = npt.NDArray[np.uint64]
WITH_NUMBER = (Code.SUBTRACT, Code.MULTIPLY, Code.DIVIDE, Code.MAXIMUM)
"""Steps with loops of their own for a number as the second operand, which need not be read again for every candle."""
WITH_A_NUMBER = 64
"""Added to the code of such a step."""


@dataclass(frozen=True)
class Segment:
    """Instructions that follow each other, then functions NumPy applies to whole rows in place."""

    instructions: Instructions
    """Shape (k, 6): code, result, up to four operands, all but the code places in memory."""
    applied: list[tuple[Code, slice]]


@dataclass(frozen=True, eq=False)
class Tape:
    """Everything a run over the candles of one market needs to know."""

    segments: list[Segment]
    inputs: dict[str, int]
    constants: dict[float, int]
    histories: Integers
    """Shape (k, 2): place of a row and how many candles before it are kept."""
    results: int
    """Place of the first row of results; the others follow, `ROW` apart."""
    n_results: int
    length: int
    """Floats in all."""


class _Layout:
    """Steps in the order they are run, and the memory they are given."""

    def __init__(self, steps: Steps) -> None:
        self.steps = list(steps.taken)
        self.depth = dict.fromkeys(range(len(self.steps)), 0)
        for part in (part for step in self.steps for part in step.parts):
            self.depth[part.step] = max(self.depth[part.step], part.lag)
        self.results = self._own_rows(steps.results)
        self.readers = Counter(part.step for step in self.steps for part in step.parts)
        self.stage: list[int] = []
        for step in self.steps:
            below = max((self.stage[part.step] for part in step.parts), default=0)
            self.stage.append(below + (step.code in TRANSCENDENTAL))
        self.length = 0
        self.at: dict[int, int] = {}
        self.constants: dict[float, int] = {}
        self.histories: list[tuple[int, int]] = []
        self.copies: dict[int, list[list[int]]] = {}

    def _own_rows(self, wanted: Sequence[Part]) -> list[int]:
        """Steps whose rows are the results: each a row of its own that nothing looks back at."""
        found: list[int] = []
        for part in wanted:
            last = part.step
            if part.lag or self.depth[last] or self.steps[last].code in {*TRANSCENDENTAL, Code.INPUT} or last in found:
                self.depth[last] = max(self.depth[last], part.lag)
                last = len(self.steps)
                self.steps.append(Step(Code.COPY, (part,)))
                self.depth[last] = 0
            found.append(last)
        return found

    def room(self, floats: int) -> int:
        """Place of so many floats, at the beginning of a line of the cache."""
        place = self.length
        self.length += -(-floats // 8) * 8
        return place

    def tape(self) -> Tape:
        results = self.room(len(self.results) * ROW)
        self.at.update((step, results + k * ROW) for k, step in enumerate(self.results))
        n_stages = max(self.stage) + 1
        applied = [self._applied(stage) for stage in range(1, n_stages)]
        self._keep_histories()
        segments = [
            Segment(np.array(instructions, dtype=np.uint64).reshape(-1, 6), after)
            for instructions, after in zip(self._instructions(n_stages), [*applied, []], strict=True)
        ]
        return Tape(
            segments=segments,
            inputs={step.name: self.at[i] for i, step in enumerate(self.steps) if step.code is Code.INPUT},
            constants=self.constants,
            histories=np.array(self.histories, dtype=np.int64).reshape(-1, 2),
            results=results,
            n_results=len(self.results),
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

    def _keep_histories(self) -> None:
        for i, step in enumerate(self.steps):
            if self.depth[i]:
                before = -(-self.depth[i] // 8) * 8
                place = self.room(before + ROW) + before
                if i in self.at:
                    self.copies.setdefault(self.stage[i], []).append([Code.COPY, place, self.at[i], 0, 0, 0])
                self.at[i] = place
                self.histories.append((place, self.depth[i]))
            elif step.code is Code.INPUT:
                self.at[i] = self.room(ROW)

    def _instructions(self, n_stages: int) -> list[list[list[int]]]:
        ordered = [
            i
            for stage in range(n_stages)
            for i, step in enumerate(self.steps)
            if self.stage[i] == stage and step.code not in {*TRANSCENDENTAL, Code.INPUT}
        ]
        last = {part.step: turn for turn, i in enumerate(ordered) for part in self.steps[i].parts}
        lasting, free = set(self.at), list[int]()
        found = [self.copies.get(stage, []) for stage in range(n_stages)]
        for turn, i in enumerate(ordered):
            if i not in self.at:
                # Never the row of an operand: what overlaps cannot be computed several at a time.
                self.at[i] = free.pop() if free else self.room(ROW)
            places = [self._place(operand) for operand in self.steps[i].operands]
            code = int(self.steps[i].code)
            if code in WITH_NUMBER and isinstance(self.steps[i].operands[1], float):
                code += WITH_A_NUMBER
            found[self.stage[i]].append([code, self.at[i], *places, *[0] * (4 - len(places))])
            done = {part.step for part in self.steps[i].parts} - lasting
            free += [self.at[step] for step in sorted(done) if last[step] == turn]
        return found

    def _place(self, operand: Part | float) -> int:
        if isinstance(operand, Part):
            return self.at[operand.step] - operand.lag
        if operand not in self.constants:
            self.constants[operand] = self.room(ROW)
        return self.constants[operand]


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
    families = (size, direction, activity, season)
    features = [value for family in families for _, value in family.features(window)][:n_features]
    presence = window.presence()
    tape = tape_of([*features, *(count for count, _ in presence)])
    return FeatureTape(tape, len(features), [least for _, least in presence])
