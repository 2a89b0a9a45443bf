"""One small loop per kind of step, in what the compiler understands; :mod:`indicators.features.compiled` compiles them.

Nothing here knows the compiler, so that what a loop does can be read, and run, as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from indicators.arrays import Float32s, Floats, Integers
from indicators.features.operations import Code
from indicators.features.tape import WITH_A_NUMBER, Instructions

# Plain numbers, which the compiler takes in as constants.
_NUMBER = WITH_A_NUMBER
_COPY, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _MAXIMUM = (
    int(code) for code in (Code.COPY, Code.ADD, Code.SUBTRACT, Code.MULTIPLY, Code.DIVIDE, Code.MAXIMUM)
)
_NEGATIVE, _ABSOLUTE, _SQUARE_ROOT, _SIGN = (
    int(code) for code in (Code.NEGATIVE, Code.ABSOLUTE, Code.SQUARE_ROOT, Code.SIGN)
)
_WEIGH, _CLIP, _CHOOSE, _RATIO, _FINITE = (
    int(code) for code in (Code.WEIGH, Code.CLIP, Code.CHOOSE, Code.RATIO, Code.FINITE)
)
_RECALL, _REMEMBER = int(Code.RECALL), int(Code.REMEMBER)
_ADD_FOUR, _WEIGH_FOUR, _MAXIMUM_FOUR = (int(code) for code in (Code.ADD_FOUR, Code.WEIGH_FOUR, Code.MAXIMUM_FOUR))
_SUM_OVER, _SUM_OVER_FLOORED, _SUM_OVER_LESS, _SUM_FLOORED, _OVER_FLOORED = (
    int(code)
    for code in (Code.SUM_OVER, Code.SUM_OVER_FLOORED, Code.SUM_OVER_LESS, Code.SUM_FLOORED, Code.OVER_FLOORED)
)
_LESS_BOTH, _LESS_OVER, _TIMES_LESS = (int(code) for code in (Code.LESS_BOTH, Code.LESS_OVER, Code.TIMES_LESS))


def compute(memory: Floats, instructions: Instructions, candles: int) -> None:  # noqa: C901, PLR0912, PLR0915
    """Take steps one after the other, each over all candles of the tile.

    Places are unsigned: a signed index might count from the end, which is looked into for every candle.
    """
    for k in range(len(instructions)):
        code, r, x, y = instructions[k, 0], instructions[k, 1], instructions[k, 2], instructions[k, 3]
        z, other, fifth, sixth = instructions[k, 4], instructions[k, 5], instructions[k, 6], instructions[k, 7]
        number = memory[y]
        if code == _ADD:
            for t in range(candles):
                memory[r + t] = memory[x + t] + memory[y + t]
        elif code == _ADD_FOUR:
            for t in range(candles):
                memory[r + t] = (memory[x + t] + memory[y + t]) + (memory[z + t] + memory[other + t])
        elif code in (_RECALL, _REMEMBER):
            source = x + candles if code == _REMEMBER else x
            for t in range(y):
                memory[r + t] = memory[source + t]
        elif code == _WEIGH:
            weight = memory[z]
            for t in range(candles):
                memory[r + t] = memory[x + t] + memory[y + t] * weight
        elif code == _WEIGH_FOUR:
            weight, outer = memory[z], memory[sixth]
            for t in range(candles):
                earlier = memory[other + t] + memory[fifth + t] * weight
                memory[r + t] = (memory[x + t] + memory[y + t] * weight) + earlier * outer
        elif code == _SUBTRACT:
            for t in range(candles):
                memory[r + t] = memory[x + t] - memory[y + t]
        elif code == _MAXIMUM + _NUMBER:
            for t in range(candles):
                memory[r + t] = max(memory[x + t], number)
        elif code == _MAXIMUM:
            for t in range(candles):
                left, right = memory[x + t], memory[y + t]
                # NaN wins, as in NumPy; the larger of a number and NaN is whichever comes first.
                memory[r + t] = right if np.isnan(right) else max(left, right)
        elif code == _MAXIMUM_FOUR:
            for t in range(candles):
                left, right = memory[x + t], memory[y + t]
                newer = right if np.isnan(right) else max(left, right)
                left, right = memory[z + t], memory[other + t]
                older = right if np.isnan(right) else max(left, right)
                memory[r + t] = older if np.isnan(older) else max(newer, older)
        elif code == _DIVIDE:
            for t in range(candles):
                memory[r + t] = memory[x + t] / memory[y + t]
        elif code == _MULTIPLY + _NUMBER:
            for t in range(candles):
                memory[r + t] = memory[x + t] * number
        elif code == _MULTIPLY:
            for t in range(candles):
                memory[r + t] = memory[x + t] * memory[y + t]
        elif code == _COPY:
            for t in range(candles):
                memory[r + t] = memory[x + t]
        elif code == _CLIP:
            most = memory[z]
            for t in range(candles):
                memory[r + t] = min(max(memory[x + t], number), most)
        elif code == _NEGATIVE:
            for t in range(candles):
                memory[r + t] = -memory[x + t]
        elif code == _ABSOLUTE:
            for t in range(candles):
                memory[r + t] = abs(memory[x + t])
        elif code == _SQUARE_ROOT:
            for t in range(candles):
                memory[r + t] = np.sqrt(memory[x + t])
        elif code == _SIGN:
            for t in range(candles):
                value = memory[x + t]
                memory[r + t] = 1.0 if value > 0.0 else (-1.0 if value < 0.0 else (0.0 if value == 0.0 else value))
        elif code == _CHOOSE:
            for t in range(candles):
                chosen, otherwise = memory[z + t], memory[other + t]
                memory[r + t] = chosen if memory[x + t] > memory[y + t] else otherwise
        elif code == _RATIO:
            for t in range(candles):
                empty = memory[y + t] <= 0.0
                quotient = memory[x + t] / (1.0 if empty else memory[y + t])
                memory[r + t] = 0.0 if empty else quotient
        elif code == _FINITE:
            for t in range(candles):
                # A finite number less itself is 0, any other is NaN.
                memory[r + t] = memory[x + t] if memory[x + t] - memory[x + t] == 0.0 else 0.0
        elif code == _SUM_OVER:
            divisor = memory[z]
            for t in range(candles):
                memory[r + t] = (memory[x + t] + memory[y + t]) / divisor
        elif code == _SUM_OVER_FLOORED:
            divisor, floor = memory[z], memory[other]
            for t in range(candles):
                memory[r + t] = max((memory[x + t] + memory[y + t]) / divisor, floor)
        elif code == _SUM_OVER_LESS:
            divisor, less = memory[z], memory[fifth]
            for t in range(candles):
                memory[r + t] = ((memory[x + t] + memory[y + t]) / divisor - memory[other + t]) - less
        elif code == _SUM_FLOORED:
            floor = memory[z]
            for t in range(candles):
                memory[r + t] = max(memory[x + t] + memory[y + t], floor)
        elif code == _OVER_FLOORED:
            floor = memory[z]
            for t in range(candles):
                memory[r + t] = max(memory[x + t] / number, floor)
        elif code == _LESS_OVER:
            for t in range(candles):
                memory[r + t] = (memory[x + t] - memory[y + t]) / memory[z + t]
        elif code == _LESS_BOTH:
            less = memory[z]
            for t in range(candles):
                memory[r + t] = (memory[x + t] - memory[y + t]) - less
        elif code == _TIMES_LESS:
            for t in range(candles):
                memory[r + t] = memory[x + t] * number - memory[z + t]


def writing(turn: Callable[..., None]) -> Callable[..., None]:
    """Write rows of features by a function that turns four values of four series at a time.

    Parameters
    ----------
    turn : callable
        Takes the memory, the places of all series, the first of the four, how far into them, then the block, the place
        of the first value in it and the distance between two of its rows, both in floats.
    """

    def write(memory: Floats, places: Integers, skipped: int, least: Floats, block: Float32s) -> None:
        """Turn rows of series into rows of features, NaN where too few candles are present."""
        rows, n_features = block.shape
        width = block.strides[0] // block.itemsize
        whole_rows, whole_features = rows - rows % 4, n_features - n_features % 4
        for t in range(0, whole_rows, 4):
            for k in range(0, whole_features, 4):
                turn(memory, places, k, skipped + t, block, t * width + k, width)
        for t in range(rows):
            for k in range(whole_features if t < whole_rows else 0, n_features):
                block[t, k] = memory[places[k] + skipped + t]
        for k in range(len(least)):
            present = places[n_features + k] + skipped
            for t in range(rows):
                if not memory[present + t] >= least[k]:
                    block[t] = np.nan

    return write
