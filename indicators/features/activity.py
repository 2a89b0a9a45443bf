"""Volume features: how much was traded against the usual, and how that goes with the size of candles."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.size import Named
from indicators.features.window import DAY, SHORT, Window, ratio

SURPRISE_FLOOR = 1e-3
"""A thousandth of the usual volume counts as no less: zero volume gives ln(0.001), no volume at all gives 0."""


def log_surprise(recent: Floats, usual: Floats) -> Floats:
    """Logarithm of recent over usual volume, between ln(0.001) and ln(1000); 0 where nothing is ever traded."""
    traded = usual > 1e-290
    share = np.where(traded, recent / np.where(traded, usual, 1.0), 1.0)
    return np.log(np.clip(share, SURPRISE_FLOOR, 1.0 / SURPRISE_FLOOR))


def features(window: Window) -> Named:
    """Yield the volume family."""
    volumes = window.volumes
    day = window.mean("volume", volumes, DAY)
    for length in (1, 3, 12, SHORT):
        yield f"volume_{length}", log_surprise(window.mean("volume", volumes, length), day)
    yield f"volume_{DAY}", log_surprise(day, window.mean("volume", volumes, 4032))
    yield from _relation(window, day)
    yield from _signed(window)


def _relation(window: Window, day: Floats) -> Named:
    """Correlation of log volume and log range, spread of log volume."""

    def logs() -> Floats:
        # Relative to the newest week's mean would depend on the row; a fixed floor keeps each candle's value its own.
        return np.log(np.maximum(window.volumes, 1e-12)) * window.present_floats

    volume = window.series("log_volume", logs)
    spans = window.series("centred", lambda: (window.log_spans + 7.0) * window.present_floats)
    squares = window.series("log_volume_square", lambda: volume * volume)
    span_squares = window.series("centred_square", lambda: spans * spans)
    products = window.series("volume_span", lambda: volume * spans)
    for length in (SHORT, DAY):
        mean, span_mean = window.mean("log_volume", volume, length), window.mean("centred", spans, length)
        spread = np.maximum(window.mean("log_volume_square", squares, length) - mean * mean, 0.0)
        span_spread = np.maximum(window.mean("centred_square", span_squares, length) - span_mean * span_mean, 0.0)
        shared = window.mean("volume_span", products, length) - mean * span_mean
        yield f"volume_spread_{length}", np.sqrt(spread)
        yield f"volume_span_{length}", np.clip(ratio(shared, np.sqrt(spread * span_spread)), -1.0, 1.0)


def _signed(window: Window) -> Named:
    """Share of volume in rising candles less that in falling ones."""
    body = window.series("body", lambda: window.price("close") - window.price("open"))
    signed = window.series("signed_volume", lambda: np.sign(body) * window.volumes)
    for length in (12, SHORT):
        yield (
            f"signed_volume_{length}",
            ratio(window.total("signed_volume", signed, length), window.total("volume", window.volumes, length)),
        )
