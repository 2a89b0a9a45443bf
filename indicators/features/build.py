"""From a candle grid to the feature matrix, in chunks that bound memory and change no bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from indicators.arrays import Float32s, Integers
from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import compiled
from indicators.features.families import CALENDAR, FAMILIES
from indicators.features.window import WARMUP, Window

DEFINITION = "1"
"""Raised whenever a feature keeps its name and changes its value."""

CHUNK_CELLS = 16_384
"""Market-rows computed at once."""


def _names() -> tuple[str, ...]:
    """Names in column order, read off the families themselves so that they cannot drift apart."""
    times = np.arange(WARMUP, dtype=np.int64) * INTERVAL_MS
    ones = np.ones((1, WARMUP))
    flat = CandleGrid(times, open=ones, high=ones, low=ones, close=ones, volume=ones)
    window = Window(flat, 1)
    return tuple(name for family in FAMILIES for name, _ in family(window))


FEATURE_NAMES: tuple[str, ...] = _names()
FEATURE_HASH: str = hashlib.sha256("\n".join([DEFINITION, str(WARMUP), *FEATURE_NAMES]).encode()).hexdigest()


def build_features(grid: CandleGrid, rows: int, *, by_loops: bool = False) -> Float32s:
    """Features of the newest `rows` candles of every market.

    Backward-looking: row ``t`` reads candles ``t - WARMUP + 1`` to ``t`` of its own market and no others, so any
    longer history, any other `rows` and any other company in the grid give the same bits.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first, at least ``WARMUP + rows - 1`` instants.
    rows : int
        Rows wanted, at least 1.
    by_loops : bool, default False
        Run the loops of :mod:`indicators.features.compiled`: the same bits in a fraction of the time, after two
        seconds for the compiler, which a process that serves does without.

    Returns
    -------
    float32 array of shape (m, rows, len(FEATURE_NAMES))
        Free of price scale. A row is wholly NaN where one of its last 73 candles is missing, or more than a third of
        its last 288, 2,016 or 4,032; otherwise it is finite.

    Raises
    ------
    FeatureError
        If the grid is too short or `rows` is below 1.
    """
    if rows < 1:
        raise FeatureError(f"rows must be at least 1, got {rows}")
    needed = WARMUP + rows - 1
    if len(grid) < needed:
        raise FeatureError(f"{rows} rows of features need {needed} candles, there are {len(grid)}")
    built = np.empty((grid.n_markets, rows, len(FEATURE_NAMES)), dtype=np.float32)
    if by_loops:
        _fill_by_loops(grid.tail(needed), built)
        return built
    step = max(1, CHUNK_CELLS // max(1, grid.n_markets))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        newest = len(grid) - rows + stop
        _fill(grid.span(newest - WARMUP - (stop - start) + 1, newest), built[:, start:stop])
    return built


def _fill(grid: CandleGrid, block: Float32s) -> None:
    window = Window(grid, block.shape[1])
    column = 0
    for family in FAMILIES:
        for _, values in family(window):
            block[:, :, column] = values
            column += 1
    block[~window.answerable()] = np.nan


def _fill_by_loops(grid: CandleGrid, built: Float32s) -> None:
    computed = 0
    for market, block in enumerate(built):
        computed = compiled.fill(block, grid, market)
    times = grid.open_time[-built.shape[1] :]
    for start in range(0, len(times), CHUNK_CELLS):
        some = slice(start, start + CHUNK_CELLS)
        clock = calendar_features(times[some], grid.interval_ms)
        # The room comes uninitialised: a column that neither part computes would be what lay in memory before.
        if computed + clock.shape[1] != built.shape[2]:
            raise FeatureError(f"{computed} columns of candles and {clock.shape[1]} of the clock are not all features")
        built[:, some, -clock.shape[1] :] = clock
    built[np.isnan(built[:, :, 0])] = np.nan


def calendar_features(open_time: Integers, interval_ms: int = INTERVAL_MS) -> Float32s:
    """Features of the calendar, the last columns, for candles one after the other; shape (rows, names)."""
    rows = len(open_time)
    times = int(open_time[0]) + np.arange(1 - WARMUP, rows, dtype=np.int64) * interval_ms
    ones = np.ones((1, len(times)))
    window = Window(CandleGrid(times, ones, ones, ones, ones, ones, interval_ms=interval_ms), rows)
    return np.stack([values[0] for _, values in CALENDAR(window)], axis=1).astype(np.float32)


def iter_features(grid: CandleGrid, chunk: int = 16_384, *, by_loops: bool = False) -> Iterator[tuple[slice, Float32s]]:
    """Yield the features of every candle that has its warm-up, `chunk` rows at a time, oldest first.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first.
    chunk : int, default 16384
        Rows at a time.
    by_loops : bool, default False
        As for :func:`build_features`.

    Yields
    ------
    positions : slice
        Which instants of the grid the rows are.
    features : float32 array of shape (m, len(positions), len(FEATURE_NAMES))
    """
    for start in range(WARMUP - 1, len(grid), chunk):
        stop = min(start + chunk, len(grid))
        yield slice(start, stop), build_features(grid.span(start - WARMUP + 1, stop), stop - start, by_loops=by_loops)
