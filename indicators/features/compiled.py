"""Features of long histories by compiled loops, with the bits of the batch: for trainings and measurements.

The families are recorded as for the newest candle and run over tiles of a thousand candles or so that stay in the
processor's cache. What is compiled is one small loop per kind of step; numba keeps IEEE's rules as NumPy does
(nothing is reordered, no product is fused with a sum), and logarithms are left to NumPy itself. The compiler is
loaded by the first call, as in :mod:`indicators.lookahead`; what serves stays without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from indicators.arrays import Float32s, Floats
from indicators.candles import CandleGrid
from indicators.features.loops import compute, writing
from indicators.features.operations import Code
from indicators.features.tape import ROW, TILE, FeatureTape, feature_tape
from indicators.features.window import WARMUP

PART_ROWS = 16_384
"""Rows that are worth a thread: every part reads its own `WARMUP` candles before them."""


def fill(block: Float32s, grid: CandleGrid, market: int, n_features: int | None = None) -> int:
    """Write the features but the calendar of the newest rows of one market, and return how many there are.

    Parameters
    ----------
    block : float32 array of shape (rows, at least n_features), columns side by side
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
    if block.ndim != 2 or block.shape[1] < recorded.n_features or block.strides[1] != block.itemsize:
        raise ValueError(f"{recorded.n_features} features do not fit {block.shape} with strides {block.strides}")

    def run(part: tuple[int, int]) -> None:
        first, last = part
        with np.errstate(all="ignore"):
            _run(recorded, grid.span(first, last + WARMUP - 1), market, block[first:last])

    parts = _parts(rows)
    if len(parts) == 1:
        run(parts[0])
        return recorded.n_features
    _loops()  # compiled once, not by every thread
    with ThreadPoolExecutor(len(parts)) as threads:
        # A row has the bits of any batch it is in, so where it is cut changes nothing.
        list(threads.map(run, parts))
    return recorded.n_features


def _parts(rows: int) -> list[tuple[int, int]]:
    """First and last row of every thread: one for each processor, as far as that is worth it."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(processors, rows // PART_ROWS))
    return list(pairwise(rows * part // count for part in range(count + 1)))


def _run(recorded: FeatureTape, grid: CandleGrid, market: int, block: Float32s) -> None:
    tape = recorded.tape
    columns = {name: getattr(grid, name)[market] for name in tape.inputs}
    try:
        memory = recorded.spare.pop()
    except IndexError:
        memory = _prepared(recorded)
    memory[tape.histories] = 0.0
    applied = [
        [(np.log if code is Code.LOG else np.exp, memory[where]) for code, where in segment.applied]
        for segment in tape.segments
    ]
    least = np.array(recorded.least)
    take, write = _loops()
    for start in range(0, len(grid), TILE):
        candles = min(TILE, len(grid) - start)
        for name, place in tape.inputs.items():
            memory[place : place + candles] = columns[name][start : start + candles]
        for segment, functions in zip(tape.segments, applied, strict=True):
            take(memory, segment.instructions, candles)
            for function, rows in functions:
                function(rows, out=rows)
        skipped = max(0, WARMUP - 1 - start)
        if skipped < candles:
            first = start + skipped - WARMUP + 1
            told = block[first : first + candles - skipped, : recorded.n_features]
            write(memory, tape.results, skipped, least, told)
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

    memory = types.float64[::1]
    written = (memory, types.int64[::1], types.int64, types.float64[::1], types.float32[:, :])
    compiled = (
        (compute, types.void(memory, types.uint64[:, ::1], types.uint64)),
        (writing(_turn()), types.void(*written)),
    )
    return tuple(njit(signature, nogil=True, error_model="numpy")(function) for function, signature in compiled)


def _turn() -> Any:
    """Four values of four series as four features of four rows: a shuffle, which the compiler does not find by itself.

    One value at a time takes three times as long, and a row is begun in four lines of the cache before it is whole.
    """
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    four, sixteen = (ir.VectorType(ir.FloatType(), count) for count in (4, 16))
    doubles = ir.VectorType(ir.DoubleType(), 4)

    def chosen(lanes: list[int]) -> Any:
        return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)

    def turned(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        memory, places, block = (
            context.make_array(signature.args[k])(context, builder, given[k]).data for k in (0, 1, 4)
        )
        first, within, to, width = given[2], given[3], given[5], given[6]
        rows = []
        for k in range(4):
            place = builder.load(builder.gep(places, [builder.add(first, first.type(k))]))
            source = builder.gep(memory, [builder.add(place, within)])
            values = builder.load(builder.bitcast(source, doubles.as_pointer()), align=8)
            rows.append(builder.fptrunc(values, four))
        halves = [builder.shuffle_vector(*rows[k : k + 2], chosen(list(range(8)))) for k in (0, 2)]
        whole = builder.shuffle_vector(*halves, chosen(list(range(16))))
        for t in range(4):
            row = builder.shuffle_vector(whole, ir.Constant(sixteen, ir.Undefined), chosen([t, t + 4, t + 8, t + 12]))
            builder.store(row, builder.bitcast(builder.gep(block, [to]), four.as_pointer()), align=4)
            to = builder.add(to, width)
        return context.get_dummy_value()

    @intrinsic
    def turn(_: Any, memory: Any, places: Any, _first: Any, _within: Any, block: Any, _to: Any, _width: Any) -> Any:
        """Tell the compiler what it takes and how it is made."""
        whole = types.int64
        return types.void(memory, places, whole, whole, block, whole, whole), turned

    return turn
