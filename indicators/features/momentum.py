"""Momentum, trend and candle shape: signed moves and distances in units of the current volatility."""

from __future__ import annotations

import math

import numpy as np

from indicators.arrays import Floats
from indicators.features.volatility import Named
from indicators.features.window import DAY, SHORT, Window, ratio

MOMENTUM_WINDOWS = (1, 6, 12, 36, 72, 288)
EXTREME_WINDOWS = (36, 72)


def features(window: Window) -> Named:
    """Yield momentum, trend and shape of the last candles."""
    level = window.level
    yield from _momentum(window, level)
    yield from _trend(window, level)
    yield from _shape(window)


def _momentum(window: Window, level: Floats) -> Named:
    close = window.price("close")
    moves = window.series("move", lambda: np.abs(window.returns))
    for length in MOMENTUM_WINDOWS:
        change = close - window.before(close, length) if length <= SHORT else window.total(window.returns, length)
        scaled = change / (level * math.sqrt(length))
        yield f"momentum_{length}", scaled
        if length in {1, 12}:
            yield f"move_{length}", np.abs(scaled)
    for length in (12, SHORT, DAY):
        net = np.abs(window.total(window.returns, length))
        yield f"efficiency_{length}", ratio(net, window.total(moves, length))


def _trend(window: Window, level: Floats) -> Named:
    close = window.price("close")
    yield "above_mean_12", (close - window.mean(close, 12)) / (level * math.sqrt(12))
    half = SHORT // 2
    rise = window.mean(close, half) - window.mean(close, half, lag=half)
    yield f"slope_{SHORT}", rise / (level * math.sqrt(SHORT))
    for length in EXTREME_WINDOWS:
        scale = level * math.sqrt(length)
        yield f"below_high_{length}", (window.highest(window.price("high"), length) - close) / scale
        yield f"above_low_{length}", (close - window.lowest(window.price("low"), length)) / scale


def _shape(window: Window) -> Named:
    """Yield body and wicks as shares of the candle's range; 0 without a range."""
    body = window.series("body", lambda: window.price("close") - window.price("open"))
    spans = window.spans
    upper = window.price("high") - np.maximum(window.price("open"), window.price("close"))
    shares = window.series("body_share", lambda: ratio(np.abs(body), spans))
    yield "body", ratio(body, spans)
    yield "upper_wick", ratio(upper, spans)
    yield "body_share_12", window.mean(shares, 12)
