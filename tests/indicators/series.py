"""Synthetic candles with volatility clusters, daily seasonality, jumps and flat stretches."""

import numpy as np

from indicators.candles import CANDLE_COLUMNS, INTERVAL_MS, CandleGrid

MONDAY_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC


def walk(n, *, markets=1, seed=0, start_ms=MONDAY_MS, flat_share=0.0, scale=1.0):
    """A grid of n candles per market with volatility clusters and daily seasonality."""
    generator = np.random.default_rng(seed)
    shape = (markets, n)
    clusters = np.cumsum(generator.normal(0.0, 0.02, size=shape), axis=1)
    clusters -= clusters.mean(axis=1, keepdims=True)
    slots = (start_ms // INTERVAL_MS + np.arange(n)) % 288
    sigma = 1e-3 * np.exp(np.clip(clusters, -2, 2)) * (1.0 + 0.5 * np.sin(2 * np.pi * slots / 288))
    moves = sigma * generator.standard_t(4, size=shape)
    still = generator.random(shape) < flat_share
    moves[still] = 0.0
    close = scale * 20_000.0 * np.exp(np.cumsum(moves, axis=1))
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    reach = np.where(still, 0.0, sigma * np.abs(generator.normal(size=shape)))
    volume = np.where(still, 0.0, np.exp(generator.normal(3.0, 1.0, size=shape)) * np.abs(moves) * 1e3)
    return CandleGrid(
        start_ms + np.arange(n, dtype=np.int64) * INTERVAL_MS,
        open=opened,
        high=np.maximum(opened, close) * np.exp(reach),
        low=np.minimum(opened, close) * np.exp(-reach),
        close=close,
        volume=volume,
    )


def with_hole(grid, start, stop, markets=slice(None)):
    """The same grid without the candles of positions start to stop."""
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    for column in columns.values():
        column[markets, start:stop] = np.nan
    return CandleGrid(grid.open_time, **columns)


def changed(grid, position, factor=1.01, volume_factor=3.0):
    """The same grid with one candle changed: prices by a factor, high by its square, volume."""
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    for name in ("open", "close", "low"):
        columns[name][:, position] *= factor
    columns["high"][:, position] *= factor * factor
    columns["volume"][:, position] = columns["volume"][:, position] * volume_factor + 1.0
    return CandleGrid(grid.open_time, **columns)


def inverted(grid, position):
    """The same grid with one candle upside down in its own range, so that a rise is a fall; twice the range."""
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    middle = (columns["high"][:, position] + columns["low"][:, position]) / 2
    for name, source in (("open", "open"), ("close", "close"), ("high", "low"), ("low", "high")):
        columns[name][:, position] = middle + 2.0 * (middle - getattr(grid, source)[:, position])
    return CandleGrid(grid.open_time, **columns)


def bits(values):
    """float32 values as integers, so that equality compares bits (NaN included)."""
    assert values.dtype == np.float32
    return np.ascontiguousarray(values).view(np.int32)
