"""Recorded arithmetic brought down to steps a loop over candles can take one at a time.

A family's own functions (:func:`indicators.features.window.elementwise`) are taken apart into additions, quotients,
comparisons and logarithms, each in the order NumPy does them, so that every element goes through the same operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import unwrap
from typing import Any

import numpy as np

from indicators.features.activity import SURPRISE_FLOOR, correlation, log_surprise, log_traded, traded_flag
from indicators.features.joining import joined
from indicators.features.operations import Code, Operand, Part, Step
from indicators.features.recording import BEFORE, INPUT, Value
from indicators.features.size import share_left
from indicators.features.window import (
    RANGE_FLOOR,
    finite_or_zero,
    log_price,
    log_range,
    log_root,
    lowest_where_missing,
    ratio,
    volume_or_zero,
)
from indicators.volatility import SIGMA_FLOOR


class Steps:
    """Steps that make some recorded values, each after those it is made of and each of them once.

    Parameters
    ----------
    wanted : sequence of Value
        What the steps are for.

    Examples
    --------
    >>> from indicators.features.recording import Recorder
    >>> recorder = Recorder()
    >>> close = recorder.given("close")
    >>> steps = Steps([close - recorder.before(close, 12)])
    >>> [step.code.name for step in steps.taken], steps.results[0]
    (['INPUT', 'SUBTRACT'], Part(step=1, lag=0))
    """

    def __init__(self, wanted: Sequence[Value]) -> None:
        self.taken: list[Step] = []
        self._known: dict[Step, Part] = {}
        self._parts: dict[int, Operand] = {}
        self.results = [self._whole(self.of(value)) for value in wanted]
        self.taken = joined(self.taken, {part.step for part in self.results})
        self._drop_unread()

    def of(self, operand: Any) -> Operand:
        """Where a value is found; a number stays what it is."""
        if not isinstance(operand, Value):
            return float(operand)
        if operand.number not in self._parts:
            self._parts[operand.number] = self._lowered(operand)
        return self._parts[operand.number]

    def take(self, code: Code, *operands: Operand) -> Part:
        """Add a step, or find the equal one."""
        return self._noted(Step(code, operands))

    def log(self, operand: Operand) -> Part:
        """Logarithm of a value others may need: what it is taken of is overwritten, so that is a copy."""
        return self.take(Code.LOG, self.take(Code.COPY, operand))

    def _whole(self, operand: Operand) -> Part:
        return operand if isinstance(operand, Part) else self.take(Code.COPY, operand)

    def _noted(self, step: Step) -> Part:
        if step not in self._known:
            self._known[step] = Part(len(self.taken))
            self.taken.append(step)
        return self._known[step]

    def _lowered(self, value: Value) -> Operand:
        if value.function is INPUT:
            return self._noted(Step(Code.INPUT, name=value.operands[0]))
        if value.function is BEFORE:
            part = self._whole(self.of(value.operands[0]))
            return Part(part.step, part.lag + value.operands[1])
        if value.function is np.add:
            return self._sum(*value.operands)
        operands = [self.of(operand) for operand in value.operands]
        if value.function in PLAIN:
            return self._plain(PLAIN[value.function], *operands)
        return FUNCTIONS[value.function](self, *operands)

    def _plain(self, code: Code, *operands: Operand) -> Operand:
        """One step, or none, or one that is joined more easily, where the bits are the same."""
        left, right = operands[0], operands[-1]
        if code is Code.DIVIDE and right == 1.0:
            return left
        if code is Code.MULTIPLY and isinstance(left, float):
            return self.take(code, right, left)
        if code is Code.SUBTRACT and isinstance(right, Part) and self.taken[right.step].code is Code.NEGATIVE:
            (opposite,) = self.taken[right.step].earlier(right.lag).operands
            return self.take(Code.ADD, left, opposite)
        return self.take(code, *operands)

    def _sum(self, left: Any, right: Any) -> Operand:
        """Half a window and the weighed other half are one step."""
        if isinstance(right, Value) and right.function is np.multiply and isinstance(right.operands[1], float):
            weighed = self.of(right.operands[0])
            return self.take(Code.WEIGH, self.of(left), weighed, right.operands[1])
        return self.take(Code.ADD, self.of(left), self.of(right))

    def _drop_unread(self) -> None:
        """Leave out what other steps have taken in, and number the rest anew."""
        read = {part.step for part in self.results}
        for number in reversed(range(len(self.taken))):
            if number in read:
                read.update(part.step for part in self.taken[number].parts)
        now = {before: number for number, before in enumerate(sorted(read))}

        def moved(operand: Operand) -> Operand:
            return Part(now[operand.step], operand.lag) if isinstance(operand, Part) else operand

        kept = [self.taken[before] for before in now]
        self.taken = [Step(step.code, tuple(map(moved, step.operands)), step.name) for step in kept]
        self.results = [Part(now[part.step], part.lag) for part in self.results]


PLAIN: dict[Any, Code] = {
    np.subtract: Code.SUBTRACT,
    np.multiply: Code.MULTIPLY,
    np.divide: Code.DIVIDE,
    np.maximum: Code.MAXIMUM,
    np.negative: Code.NEGATIVE,
    np.absolute: Code.ABSOLUTE,
    np.sqrt: Code.SQUARE_ROOT,
    np.sign: Code.SIGN,
    unwrap(ratio): Code.RATIO,
    unwrap(finite_or_zero): Code.FINITE,
}
"""Functions that are one step."""


def _clipped(steps: Steps, operand: Operand, least: float, most: float) -> Part:
    return steps.take(Code.CLIP, operand, least, most)


def _exp(steps: Steps, operand: Operand) -> Part:
    return steps.take(Code.EXP, steps.take(Code.COPY, operand))


def _log_root(steps: Steps, variance: Operand) -> Part:
    floored = steps.take(Code.MAXIMUM, variance, SIGMA_FLOOR * SIGMA_FLOOR)
    return steps.take(Code.MULTIPLY, steps.take(Code.LOG, floored), 0.5)


def _log_range(steps: Steps, span: Operand) -> Part:
    return steps.take(Code.LOG, steps.take(Code.MAXIMUM, span, RANGE_FLOOR))


def _share_left(steps: Steps, share: Operand) -> Part:
    return _clipped(steps, steps.take(Code.SUBTRACT, 1.0, share), -1.0, 1.0)


def _log_surprise(steps: Steps, recent: Operand, usual: Operand) -> Part:
    share = steps.take(Code.DIVIDE, recent, steps.take(Code.CHOOSE, usual, 1e-290, usual, 1.0))
    share = steps.take(Code.CHOOSE, usual, 1e-290, share, 1.0)
    return steps.take(Code.LOG, _clipped(steps, share, SURPRISE_FLOOR, 1.0 / SURPRISE_FLOOR))


def _correlation(steps: Steps, shared: Operand, spread: Operand) -> Part:
    share = steps.take(Code.RATIO, shared, steps.take(Code.SQUARE_ROOT, spread))
    return steps.take(Code.CHOOSE, spread, 1e-16, _clipped(steps, share, -1.0, 1.0), 0.0)


FUNCTIONS: dict[Any, Callable[..., Operand]] = {
    np.log: Steps.log,
    np.exp: _exp,
    unwrap(log_root): _log_root,
    unwrap(log_range): _log_range,
    unwrap(share_left): _share_left,
    unwrap(log_surprise): _log_surprise,
    unwrap(correlation): _correlation,
    unwrap(traded_flag): lambda steps, volumes: steps.take(Code.CHOOSE, volumes, 0.0, 1.0, 0.0),
    unwrap(log_traded): lambda steps, volumes: steps.log(steps.take(Code.CHOOSE, volumes, 0.0, volumes, 1.0)),
    unwrap(log_price): lambda steps, column, there: steps.log(steps.take(Code.CHOOSE, there, 0.0, column, 1.0)),
    unwrap(volume_or_zero): lambda steps, volume, there: steps.take(Code.CHOOSE, there, 0.0, volume, 0.0),
    unwrap(lowest_where_missing): lambda steps, series, there: steps.take(Code.CHOOSE, there, 0.0, series, -np.inf),
}
"""Functions that are several."""
