"""Synthetic candles with volatility clustering and a time-of-day pattern."""

import numpy as np

from indicators.candles import CandleGrid

STEPS = 12
"""Steps of the path inside a candle."""


def grid(candles, markets=1, seed=0, sigma=0.001):
    """Candle grid of random walks with volatility clustering and a time-of-day pattern."""
    rng = np.random.default_rng(seed)
    times = 1_700_006_400_000 // 300_000 * 300_000 + np.arange(candles) * 300_000
    slots = (times // 300_000) % 288
    columns = {name: np.empty((markets, candles)) for name in ("open", "high", "low", "close", "volume")}
    for market in range(markets):
        shocks = 0.07 * rng.normal(size=candles)
        level = np.zeros(candles)
        for t in range(1, candles):
            level[t] = 0.985 * level[t - 1] + shocks[t]
        size = sigma * np.exp(level) * (1 + 0.5 * np.sin(2 * np.pi * slots / 288))
        steps = rng.normal(size=(candles, STEPS)) * (size / np.sqrt(STEPS))[:, None]
        path = np.cumsum(steps.ravel()).reshape(candles, STEPS)
        begin = np.concatenate([[0.0], path[:-1, -1]])
        whole = np.column_stack([begin, path])
        price = 100.0 * (market + 1)
        columns["open"][market] = price * np.exp(begin)
        columns["high"][market] = price * np.exp(whole.max(axis=1))
        columns["low"][market] = price * np.exp(whole.min(axis=1))
        columns["close"][market] = price * np.exp(path[:, -1])
        columns["volume"][market] = 100 * np.exp(0.3 * rng.normal(size=candles)) * size / sigma
    return CandleGrid(times, *(columns[name] for name in ("open", "high", "low", "close", "volume")))
