"""Features of long histories by compiled loops, with the bits of the batch: for trainings and measurements.

The families are recorded as for the newest candle and run over tiles of a few hundred candles that stay in the
processor's cache. What is compiled is one small loop per kind of step; numba keeps IEEE's rules as NumPy does
(nothing is reordered, no product is fused with a sum), and logarithms are left to NumPy itself. The compiler is
loaded by the first call, as in :mod:`indicators.lookahead`; what serves stays without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from indicators.arrays import Float32s, Floats, Integers
from indicators.candles import CandleGrid
from indicators.features.steps import Code
from indicators.features.tape import ROW, TILE, WITH_A_NUMBER, FeatureTape, Instructions, feature_tape
from indicators.features.window import WARMUP

# Plain numbers, which the compiler takes in as constants.
_NUMBER = WITH_A_NUMBER
_COPY, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (
    int(code) for code in (Code.COPY, Code.ADD, Code.SUBTRACT, Code.MULTIPLY, Code.DIVIDE)
)
_MAXIMUM, _MINIMUM, _NEGATIVE, _ABSOLUTE = (
    int(code) for code in (Code.MAXIMUM, Code.MINIMUM, Code.NEGATIVE, Code.ABSOLUTE)
)
_SUM_OVER, _LESS_BOTH, _TIMES_LESS = (int(code) for code in (Code.SUM_OVER, Code.LESS_BOTH, Code.TIMES_LESS))
_SQUARE_ROOT, _SIGN, _WEIGH, _CHOOSE, _RATIO, _FINITE = (
    int(code) for code in (Code.SQUARE_ROOT, Code.SIGN, Code.WEIGH, Code.CHOOSE, Code.RATIO, Code.FINITE)
)


def fill(block: Float32s, grid: CandleGrid, market: int, n_features: int | None = None) -> None:
    """Write the features but the calendar of the newest rows of one market.

    Parameters
    ----------
    block : float32 array of shape (rows, at least n_features)
        Its first columns are written. Backward-looking: row ``t`` has the bits of
        :func:`indicators.features.build_features`, NaN where that has NaN.
    grid : CandleGrid
        ``WARMUP + rows - 1`` candles, no more.
    market : int
        Which of the grid's.
    n_features : int, optional
        Columns wanted, the first ones; by default all but the calendar.

    Raises
    ------
    ValueError
        If the grid has another length, or the market is none of its.
    """
    rows = len(block)
    # Compiled code does not look where it reads.
    if len(grid) != WARMUP + rows - 1 or not 0 <= market < grid.n_markets:
        raise ValueError(f"{rows} rows need {WARMUP + rows - 1} candles of a market, got {len(grid)} of {market}")
    recorded = feature_tape(bool(grid.present[market].all()), n_features)
    if block.ndim != 2 or block.shape[1] < recorded.n_features:
        raise ValueError(f"{recorded.n_features} features do not fit {block.shape}")
    with np.errstate(all="ignore"):
        _run(recorded, grid, market, block)


def _run(recorded: FeatureTape, grid: CandleGrid, market: int, block: Float32s) -> None:
    tape = recorded.tape
    columns = {name: getattr(grid, name)[market] for name in tape.inputs}
    memory = recorded.spare.pop() if recorded.spare else _prepared(recorded)
    for place, depth in tape.histories:
        memory[place - depth : place] = 0.0
    applied = [
        [(np.log if code is Code.LOG else np.exp, memory[where]) for code, where in segment.applied]
        for segment in tape.segments
    ]
    least = np.array(recorded.least)
    compute, keep, write = _loops()
    for start in range(0, len(grid), TILE):
        candles = min(TILE, len(grid) - start)
        for name, place in tape.inputs.items():
            memory[place : place + candles] = columns[name][start : start + candles]
        for segment, functions in zip(tape.segments, applied, strict=True):
            compute(memory, segment.instructions, candles)
            for function, rows in functions:
                function(rows, out=rows)
        skipped = max(0, WARMUP - 1 - start)
        if skipped < candles:
            told = memory[tape.results : tape.results + tape.n_results * ROW].reshape(-1, ROW)[:, skipped:candles]
            write(told, least, block[start + skipped - WARMUP + 1 :, : recorded.n_features])
        keep(memory, tape.histories, candles)
    recorded.spare.append(memory)


def _prepared(recorded: FeatureTape) -> Floats:
    """Memory with the constants. It begins at a line of the cache: what is read across two takes twice as long."""
    memory = np.ones(recorded.tape.length + 7)
    first = -memory.ctypes.data % 64 // 8
    memory = memory[first : first + recorded.tape.length]
    for number, place in recorded.tape.constants.items():
        memory[place : place + ROW] = number
    return memory


@lru_cache(maxsize=1)
def _loops() -> tuple[Callable[..., None], ...]:
    """Compile the loops; division as NumPy's, which never raises."""
    from numba import njit, types

    memory, places = types.float64[::1], types.int64[:, ::1]
    told = (types.float64[:, :], types.float64[::1], types.float32[:, :])
    compiled = (
        (_compute, types.void(memory, types.uint64[:, ::1], types.uint64)),
        (_keep, types.void(memory, places, types.int64)),
        (_write, types.void(*told)),
    )
    return tuple(njit(signature, nogil=True, error_model="numpy")(function) for function, signature in compiled)


def _compute(memory: Floats, instructions: Instructions, candles: int) -> None:  # noqa: C901, PLR0912, PLR0915
    """Take steps one after the other, each over all candles of the tile.

    Places are unsigned: a signed index might count from the end, which is looked into for every candle.
    """
    for k in range(len(instructions)):
        code, r, x, y = instructions[k, 0], instructions[k, 1], instructions[k, 2], instructions[k, 3]
        z, other, number = instructions[k, 4], instructions[k, 5], memory[y]
        if code == _ADD:
            for t in range(candles):
                memory[r + t] = memory[x + t] + memory[y + t]
        elif code == _WEIGH:
            weight = memory[z]
            for t in range(candles):
                memory[r + t] = memory[x + t] + memory[y + t] * weight
        elif code == _SUBTRACT + _NUMBER:
            for t in range(candles):
                memory[r + t] = memory[x + t] - number
        elif code == _SUBTRACT:
            for t in range(candles):
                memory[r + t] = memory[x + t] - memory[y + t]
        elif code == _MAXIMUM + _NUMBER:
            for t in range(candles):
                value = memory[x + t]
                # NaN wins, as in NumPy.
                memory[r + t] = value if (value >= number) | np.isnan(value) else number
        elif code == _MAXIMUM:
            for t in range(candles):
                left, right = memory[x + t], memory[y + t]
                memory[r + t] = left if (left >= right) | np.isnan(left) else right
        elif code == _DIVIDE + _NUMBER:
            for t in range(candles):
                memory[r + t] = memory[x + t] / number
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
        elif code == _MINIMUM:
            for t in range(candles):
                left, right = memory[x + t], memory[y + t]
                memory[r + t] = left if (left <= right) | np.isnan(left) else right
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
                memory[r + t] = memory[z + t] if memory[x + t] > memory[y + t] else memory[other + t]
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
        elif code == _LESS_BOTH:
            less = memory[z]
            for t in range(candles):
                memory[r + t] = (memory[x + t] - memory[y + t]) - less
        elif code == _TIMES_LESS:
            for t in range(candles):
                memory[r + t] = memory[x + t] * number - memory[z + t]


def _keep(memory: Floats, histories: Integers, candles: int) -> None:
    """Move the newest candles of a tile before the next one, a tile's worth at a time, so that nothing overlaps."""
    for k in range(len(histories)):
        stop = histories[k, 0]
        start = stop - histories[k, 1]
        while start < stop:
            count = min(candles, stop - start)
            to, source = memory[start : start + count], memory[start + candles : start + candles + count]
            for t in range(count):
                to[t] = source[t]
            start += count


def _write(told: Floats, least: Floats, block: Float32s) -> None:
    """Turn rows of series into rows of features, NaN where too few candles are present."""
    n_features = block.shape[1]
    for t in range(told.shape[1]):
        row = block[t]
        whole = True
        for k in range(len(least)):
            whole &= told[n_features + k, t] >= least[k]
        if whole:
            for k in range(n_features):
                row[k] = told[k, t]
        else:
            row[:] = np.nan
