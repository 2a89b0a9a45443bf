"""Volatility features: candle ranges over many window lengths relative to the current volatility."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from indicators.arrays import Floats
from indicators.catalog.volatility import PARKINSON
from indicators.features.window import CENTRE, DAY, Window, log_range, log_root, ratio

HALF_LIVES = (3, 6, 12, 48, 96, 192)
RETURN_HALF_LIVES = (96, 384)
HAR_WINDOWS = (1, 3, 6, 12, 36, 72, 288, 2016)
SPAN_WINDOWS = (6, 18, 36, 72, 288)
GARMAN_KLASS = 2.0 * math.log(2.0) - 1.0
BIPOWER = math.pi / 2.0
LOG_PARKINSON = 0.5 * math.log(PARKINSON)

Named = Iterator[tuple[str, Floats]]


def features(window: Window) -> Named:
    """Yield the volatility family as logarithms relative to the current level."""
    level = window.log_level
    yield "volatility_level", level
    for half_life in HALF_LIVES:
        yield f"ewm_{half_life}", log_root(window.decayed_mean(window.variances, half_life)) - level
    squares = window.series("square", lambda: window.returns * window.returns)
    for half_life in RETURN_HALF_LIVES:
        yield f"ewm_return_{half_life}", log_root(window.decayed_mean(squares, half_life)) - level
    for length in HAR_WINDOWS:
        yield f"har_{length}", window.mean(window.log_spans, length) - level - LOG_PARKINSON
    yield from _spans(window, level)
    yield from _estimators(window, squares)
    yield from _dispersion(window, level)


def _spans(window: Window, level: Floats) -> Named:
    high, low = window.price("high"), window.price("low")
    for length in SPAN_WINDOWS:
        span = window.highest(high, length) - window.lowest(low, length)
        yield f"span_{length}", log_range(span) - level - 0.5 * math.log(length)


def _estimators(window: Window, squares: Floats) -> Named:
    """Yield other volatility estimators relative to Parkinson's in the same window.

    They differ when prices trend, jump or reverse.
    """
    body = window.series("body", lambda: window.price("close") - window.price("open"))
    garman_klass = window.series("garman_klass", lambda: 0.5 * window.spans * window.spans - GARMAN_KLASS * body * body)
    for length in (12, 72, DAY):
        parkinson = log_root(window.mean(window.variances, length))
        yield f"garman_klass_{length}", log_root(window.mean(garman_klass, length)) - parkinson
        if length < DAY:
            yield f"close_to_close_{length}", log_root(window.mean(squares, length)) - parkinson
    up, down = window.price("high"), window.price("low")
    opened, closed = window.price("open"), window.price("close")
    rogers_satchell = window.series(
        "rogers_satchell", lambda: (up - opened) * (up - closed) + (down - opened) * (down - closed)
    )
    for length in (12, 72):
        parkinson = log_root(window.mean(window.variances, length))
        yield f"rogers_satchell_{length}", log_root(window.mean(rogers_satchell, length)) - parkinson


def _dispersion(window: Window, level: Floats) -> Named:
    """Yield volatility of volatility, the largest candle and the share of jumps."""
    centred = window.series("centred", lambda: (window.log_spans + CENTRE) * window.present)
    squared = window.series("centred_square", lambda: centred * centred)
    for length in (12, 72, DAY):
        mean = window.mean(centred, length)
        spread = np.maximum(window.mean(squared, length) - mean * mean, 0.0)
        yield f"vol_of_vol_{length}", np.sqrt(spread)
    for length in (12, 72, DAY):
        yield f"largest_{length}", log_range(window.highest(window.spans, length)) - level
    squares = window.series("square", lambda: window.returns * window.returns)
    moves = window.series("move", lambda: np.abs(window.returns))
    pairs = window.series("pair", lambda: moves * window.before(moves, 1))
    total = window.total(squares, 72)
    smooth = BIPOWER * window.total(pairs, 72)
    yield "jump_share_72", share_left(ratio(smooth, total))


def share_left(share: Floats) -> Floats:
    """One minus a share, clipped to -1..1."""
    return np.clip(1.0 - share, -1.0, 1.0)
