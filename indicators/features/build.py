"""From a candle grid to the feature matrix, in blocks that bound memory and change no bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from indicators.arrays import Float32s, Integers
from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import families
from indicators.features.feature_set import FeatureSet, installed
from indicators.features.stream import Stream
from indicators.features.window import WARMUP, Window

BLOCK = 8192
"""Candles of a market computed at once: more leave the processor's cache, for fewer the calls outweigh the numbers."""


OWN = FeatureSet()
"""Our own features, without those of other packages."""
FEATURE_NAMES: tuple[str, ...] = OWN.names
FEATURE_HASH: str = OWN.digest


def build_features(grid: CandleGrid, rows: int, features: FeatureSet | None = None) -> Float32s:
    """Features of the newest `rows` candles of every market.

    Backward-looking: row ``t`` reads candles ``t - WARMUP + 1`` to ``t`` of its own market, and of `grid.others`,
    so any longer history, any other `rows` and any other market in the grid give the same bits.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first, at least ``WARMUP + rows - 1`` instants.
    rows : int
        Rows wanted, at least 1.
    features : FeatureSet, optional
        What to compute; by default what is installed.

    Returns
    -------
    float32 array of shape (m, rows, len(features.names))
        Free of price scale. A row is wholly NaN where one of its last 73 candles is missing, or more than a third of
        its last 288, 2,016 or 4,032; otherwise our own columns are finite, and those of other packages where known.

    Raises
    ------
    FeatureError
        If the grid is too short or `rows` is below 1.

    Examples
    --------
    >>> prices = np.exp(np.cumsum(np.sin(np.arange(WARMUP + 1.0)) / 1e3))[None]
    >>> grid = CandleGrid(np.arange(WARMUP + 1) * 300_000, prices, prices, prices, prices, prices)
    >>> build_features(grid, 2).shape == (1, 2, len(installed().names))
    True
    """
    if rows < 1:
        raise FeatureError(f"rows must be at least 1, got {rows}")
    needed = WARMUP + rows - 1
    if len(grid) < needed:
        raise FeatureError(f"{rows} rows of features need {needed} candles, there are {len(grid)}")
    return next(iter_features(grid.tail(needed), rows, features))[1]


def iter_features(
    grid: CandleGrid, chunk: int = 16_384, features: FeatureSet | None = None
) -> Iterator[tuple[slice, Float32s]]:
    """Yield the features of every candle that has its warm-up, `chunk` rows at a time, oldest first.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets, oldest first.
    chunk : int, default 16384
        Rows at a time.
    features : FeatureSet, optional
        What to compute; by default what is installed.

    Yields
    ------
    positions : slice
        Which instants of the grid the rows are.
    built : float32 array of shape (m, len(positions), len(features.names))
        As :func:`build_features`.
    """
    features = features or installed()
    streams = [Stream(1, features.other_markets, features.further_columns) for _ in range(grid.n_markets)]
    fed = 0
    for start in range(WARMUP - 1, len(grid), chunk):
        rows = slice(start, min(start + chunk, len(grid)))
        built = np.empty((grid.n_markets, rows.stop - start, len(features.names)), dtype=np.float32)
        calendar = calendar_features(grid.open_time[rows], grid.interval_ms, features)
        for market, stream in enumerate(streams):
            for first in range(fed, rows.stop, BLOCK):
                last = min(first + BLOCK, rows.stop)
                kept = slice(max(first - start, 0), max(last - start, 0))
                window = stream.feed_grid(grid.span(first, last).select(market))
                write_features(window, calendar[kept], built[None, market, kept], features)
            stream.trim()
        fed = rows.stop
        yield rows, built


def write_features(window: Window, calendar: Float32s, built: Float32s, features: FeatureSet = OWN) -> None:
    """Compute the families of a window and write all columns of its newest rows.

    Parameters
    ----------
    window : Window
        Of T candles of m markets.
    calendar : float32 array of shape (rows, len(features.calendar_names))
    built : float32 array of shape (m, rows, len(features.names))
        At most T rows. Rows that lack too many candles become wholly NaN.
    features : FeatureSet
    """
    unwanted = len(window.present) - built.shape[1]
    computed = 0
    for _, values in families.candle_features(window, day_ahead=features.day_ahead):
        built[:, :, computed] = values[unwanted:].T
        computed += 1
    built[:, :, computed : computed + calendar.shape[1]] = calendar
    computed += calendar.shape[1]
    for family in features.extra:
        for _, values in family(window):
            built[:, :, computed] = np.broadcast_to(values, window.present.shape)[unwanted:].T
            computed += 1
    # The room comes uninitialised: a column that no part computes would be what lay in memory before.
    if computed != built.shape[2]:
        raise FeatureError(f"{computed} computed columns are not all {built.shape[2]} features")
    built[~window.complete()[unwanted:].T] = np.nan


def calendar_features(open_time: Integers, interval_ms: int = INTERVAL_MS, features: FeatureSet = OWN) -> Float32s:
    """Features of the calendar for candles one after the other; shape (rows, names)."""
    columns = families.CALENDAR(open_time, interval_ms, day_ahead=features.day_ahead)
    return np.stack([values for _, values in columns], axis=1).astype(np.float32)
