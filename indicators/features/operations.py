"""What a loop over candles does in one pass: a code, and the steps and numbers it is done to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto


class Code(IntEnum):
    """What a step does to its operands, element by element."""

    INPUT = auto()
    LOG = auto()
    """Left to NumPy, as is `EXP`: another library's logarithm differs in the last bit."""
    EXP = auto()
    COPY = auto()
    ADD = auto()
    SUBTRACT = auto()
    MULTIPLY = auto()
    DIVIDE = auto()
    MAXIMUM = auto()
    NEGATIVE = auto()
    ABSOLUTE = auto()
    SQUARE_ROOT = auto()
    SIGN = auto()
    WEIGH = auto()
    """The first plus the second times a constant, each rounded by itself."""
    CLIP = auto()
    """The first, but at least a constant, then at most another."""
    CHOOSE = auto()
    """The third where the first is above the second, else the fourth."""
    RATIO = auto()
    FINITE = auto()
    """0 where the first is not finite."""

    RECALL = auto()
    """Not of a series: what was remembered, so many values, is put in front of a row."""
    REMEMBER = auto()
    """The newest of a row, so many values, are kept for the next tile."""

    # Two or three of the above in one pass, each rounded by itself: what `features.joining` makes of them.
    ADD_FOUR = auto()
    """The first two, plus the other two."""
    WEIGH_FOUR = auto()
    """`WEIGH` of the first three, then of that and `WEIGH` of the next two with the same constant."""
    MAXIMUM_FOUR = auto()
    SUM_OVER = auto()
    """The first plus the second, then over a constant."""
    SUM_OVER_FLOORED = auto()
    SUM_OVER_LESS = auto()
    """`SUM_OVER`, then less the fourth, then less a constant."""
    SUM_FLOORED = auto()
    OVER_FLOORED = auto()
    LESS_BOTH = auto()
    """The first less the second, then less a constant."""
    LESS_OVER = auto()
    """The first less the second, then over the third."""
    TIMES_LESS = auto()
    """The first times a constant, then less the third."""


TRANSCENDENTAL = (Code.LOG, Code.EXP)


@dataclass(frozen=True)
class Part:
    """The result of a step, `lag` candles ago."""

    step: int
    lag: int = 0


Operand = Part | float


@dataclass(frozen=True)
class Step:
    """One operation on whole series; an input has a name instead of operands."""

    code: Code
    operands: tuple[Operand, ...] = ()
    name: str = ""

    @property
    def parts(self) -> list[Part]:
        """Operands that are results of other steps."""
        return [operand for operand in self.operands if isinstance(operand, Part)]

    def earlier(self, lag: int) -> Step:
        """The same step `lag` candles ago."""
        moved = (Part(one.step, one.lag + lag) if isinstance(one, Part) else one for one in self.operands)
        return Step(self.code, tuple(moved), self.name)
