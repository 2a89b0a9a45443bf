"""From a candle grid to the feature matrix, in blocks that bound memory and change no bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from indicators.arrays import Float32s, Integers
from indicators.candles import CANDLE_COLUMNS, INTERVAL_MS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import families
from indicators.features.stream import Stream
from indicators.features.window import WARMUP, Window

DEFINITION = "1"
"""Raised whenever a feature keeps its name and changes its value."""

BLOCK = 8192
"""Candles of a market computed at once: more leave the processor's cache, for fewer the calls outweigh the numbers."""


def _names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names in column order, read off the families themselves so that they cannot drift apart."""
    window = Stream(1).feed(np.ones((len(CANDLE_COLUMNS), 1, 1)))
    clock = families.CALENDAR(np.zeros(1, dtype=np.int64), INTERVAL_MS)
    return tuple(name for name, _ in families.candle_features(window)), tuple(name for name, _ in clock)


CANDLE_NAMES, CALENDAR_NAMES = _names()
FEATURE_NAMES: tuple[str, ...] = (*CANDLE_NAMES, *CALENDAR_NAMES)
FEATURE_HASH: str = hashlib.sha256("\n".join([DEFINITION, str(WARMUP), *FEATURE_NAMES]).encode()).hexdigest()


def build_features(grid: CandleGrid, rows: int) -> Float32s:
    """Features of the newest `rows` candles of every market.

    Backward-looking: row ``t`` reads candles ``t - WARMUP + 1`` to ``t`` of its own market and no others, so any
    longer history, any other `rows` and any other market in the grid give the same bits.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first, at least ``WARMUP + rows - 1`` instants.
    rows : int
        Rows wanted, at least 1.

    Returns
    -------
    float32 array of shape (m, rows, len(FEATURE_NAMES))
        Free of price scale. A row is wholly NaN where one of its last 73 candles is missing, or more than a third of
        its last 288, 2,016 or 4,032; otherwise it is finite.

    Raises
    ------
    FeatureError
        If the grid is too short or `rows` is below 1.

    Examples
    --------
    >>> prices = np.exp(np.cumsum(np.sin(np.arange(WARMUP + 1.0)) / 1e3))[None]
    >>> grid = CandleGrid(np.arange(WARMUP + 1) * 300_000, prices, prices, prices, prices, prices)
    >>> build_features(grid, 2).shape == (1, 2, len(FEATURE_NAMES))
    True
    """
    if rows < 1:
        raise FeatureError(f"rows must be at least 1, got {rows}")
    needed = WARMUP + rows - 1
    if len(grid) < needed:
        raise FeatureError(f"{rows} rows of features need {needed} candles, there are {len(grid)}")
    return next(iter_features(grid.tail(needed), rows))[1]


def iter_features(grid: CandleGrid, chunk: int = 16_384) -> Iterator[tuple[slice, Float32s]]:
    """Yield the features of every candle that has its warm-up, `chunk` rows at a time, oldest first.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first.
    chunk : int, default 16384
        Rows at a time.

    Yields
    ------
    positions : slice
        Which instants of the grid the rows are.
    features : float32 array of shape (m, len(positions), len(FEATURE_NAMES))
        As :func:`build_features`.
    """
    streams = [Stream(1) for _ in range(grid.n_markets)]
    fed = 0
    for start in range(WARMUP - 1, len(grid), chunk):
        rows = slice(start, min(start + chunk, len(grid)))
        built = np.empty((grid.n_markets, rows.stop - start, len(FEATURE_NAMES)), dtype=np.float32)
        clock = calendar_features(grid.open_time[rows], grid.interval_ms)
        for market, stream in enumerate(streams):
            built[market, :, -clock.shape[1] :] = clock
            for first in range(fed, rows.stop, BLOCK):
                last = min(first + BLOCK, rows.stop)
                candles = np.stack([getattr(grid, name)[market, first:last, None] for name in CANDLE_COLUMNS])
                write_features(stream.feed(candles), built[None, market, max(first - start, 0) : max(last - start, 0)])
            stream.trim()
        fed = rows.stop
        yield rows, built


def write_features(window: Window, built: Float32s) -> None:
    """Compute the families of a window and write those of its newest rows beside the calendar.

    Parameters
    ----------
    window : Window
        Of T candles of m markets.
    built : float32 array of shape (m, rows, len(FEATURE_NAMES))
        At most T rows, the last columns of which hold the calendar. Rows that lack too many candles become wholly NaN.
    """
    unwanted = len(window.present) - built.shape[1]
    computed = 0
    for _, values in families.candle_features(window):
        built[:, :, computed] = values[unwanted:].T
        computed += 1
    # The room comes uninitialised: a column that neither part computes would be what lay in memory before.
    if computed + len(CALENDAR_NAMES) != built.shape[2]:
        raise FeatureError(f"{computed} columns of candles and {len(CALENDAR_NAMES)} of the clock are not all features")
    built[~window.complete()[unwanted:].T] = np.nan


def calendar_features(open_time: Integers, interval_ms: int = INTERVAL_MS) -> Float32s:
    """Features of the calendar, the last columns, for candles one after the other; shape (rows, names)."""
    return np.stack([values for _, values in families.CALENDAR(open_time, interval_ms)], axis=1).astype(np.float32)
