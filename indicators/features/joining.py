"""Steps that follow each other taken in one pass: what passes between them stays in a register.

A step takes in the one before it only if nothing else reads that one, and every operation is still rounded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from indicators.features.operations import TRANSCENDENTAL, Code, Operand, Part, Step

LEVELS = {Code.ADD: Code.ADD_FOUR, Code.WEIGH: Code.WEIGH_FOUR, Code.MAXIMUM: Code.MAXIMUM_FOUR}
"""Steps of a ladder, whose operands are one series now and some candles ago, and two of them in one."""

FOLLOWING = {
    (Code.DIVIDE, "n", Code.ADD, "pp"): Code.SUM_OVER,
    (Code.MAXIMUM, "n", Code.SUM_OVER, "ppn"): Code.SUM_OVER_FLOORED,
    (Code.LESS_BOTH, "pn", Code.SUM_OVER, "ppn"): Code.SUM_OVER_LESS,
    (Code.MAXIMUM, "n", Code.ADD, "pp"): Code.SUM_FLOORED,
    (Code.MAXIMUM, "n", Code.DIVIDE, "pn"): Code.OVER_FLOORED,
    (Code.SUBTRACT, "n", Code.SUBTRACT, "pp"): Code.LESS_BOTH,
    (Code.DIVIDE, "p", Code.SUBTRACT, "pp"): Code.LESS_OVER,
    (Code.SUBTRACT, "p", Code.MULTIPLY, "pn"): Code.TIMES_LESS,
}
"""A step and what it is done with (parts and numbers), the step its first operand is and what that is made of."""


def joined(taken: Sequence[Step], results: set[int]) -> list[Step]:
    """Join steps wherever they are known as one; what has been taken in keeps its number and is read by nothing.

    Parameters
    ----------
    taken : sequence of Step
        Each after those it is made of.
    results : set of int
        Numbers of the steps that are wanted themselves.

    Examples
    --------
    >>> added = Step(Code.ADD, (Part(0), Part(0, 1)))
    >>> mean = joined([Step(Code.INPUT), added, Step(Code.DIVIDE, (Part(1), 3.0))], {2})[2]
    >>> mean.code.name, mean.operands
    ('SUM_OVER', (Part(step=0, lag=0), Part(step=0, lag=1), 3.0))
    """
    found = list(taken)
    readers: list[set[int]] = [{-1} if number in results else set() for number in range(len(found))]
    for number, step in enumerate(found):
        for part in step.parts:
            readers[part.step].add(number)
    for number in range(len(found)):
        while (first := _alone(found[number], readers, number)) is not None:
            wider = _with(found[number], found[first])
            if wider is None or (wider.code in TRANSCENDENTAL and not _may_overwrite(wider, found, readers, first)):
                break
            for part in found[first].parts:
                readers[part.step] = readers[part.step] - {first} | {number}
            found[number] = wider
    return found


def _alone(step: Step, readers: Sequence[set[int]], number: int) -> int | None:
    """The step its first part is, if no other reads that."""
    first = step.parts[0].step if step.parts else None
    return first if first is not None and readers[first] == {number} else None


def _with(step: Step, inner: Step) -> Step | None:
    """A step and the one its first part is, as one step if there is such a one."""
    if step.code in TRANSCENDENTAL and inner.code is Code.COPY:
        return Step(step.code, inner.operands)
    if step.code in LEVELS and step.code is inner.code:
        return _two_levels(step, inner)
    code = FOLLOWING.get((step.code, _kinds(step.operands[1:]), inner.code, _kinds(inner.operands)))
    if code is None or step.operands[0] != Part(step.parts[0].step):
        return None
    return Step(code, (*inner.operands, *step.operands[1:]))


def _two_levels(step: Step, inner: Step) -> Step | None:
    if len({part.step for part in step.parts}) != 1 or not len(step.parts) == len(inner.parts) == 2:
        return None
    now, before = (inner.earlier(part.lag) for part in step.parts)
    numbers = (operand for operand in step.operands if isinstance(operand, float))
    return Step(LEVELS[step.code], (*now.operands, *before.parts, *numbers))


def _may_overwrite(step: Step, found: Sequence[Step], readers: Sequence[set[int]], copy: int) -> bool:
    """Whether nothing but the copy a logarithm is taken of reads what was copied."""
    (source,) = step.parts
    return not source.lag and readers[source.step] == {copy} and found[source.step].code not in TRANSCENDENTAL


def _kinds(operands: Sequence[Operand]) -> str:
    return "".join("p" if isinstance(operand, Part) else "n" for operand in operands)
