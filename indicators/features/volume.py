"""Volume features: volume relative to its usual level, and its correlation with range."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Floats
from indicators.features.volatility import Named
from indicators.features.window import CENTRE, DAY, SHORT, Window, ratio

SURPRISE_FLOOR = 1e-3
"""Lower bound of the ratio to the usual volume: zero volume gives ln(0.001), no volume at all gives 0."""


def log_surprise(recent: Floats, usual: Floats) -> Floats:
    """Logarithm of recent over usual volume, clipped to ln(0.001)..ln(1000); 0 without trades."""
    traded = usual > 1e-290
    share = np.where(traded, recent / np.where(traded, usual, 1.0), 1.0)
    return np.log(np.clip(share, SURPRISE_FLOOR, 1.0 / SURPRISE_FLOOR))


def features(window: Window) -> Named:
    """Yield the volume family."""
    volumes = window.volumes
    day = window.mean(volumes, DAY)
    for length in (1, 3, 12, SHORT):
        yield f"volume_{length}", log_surprise(window.mean(volumes, length), day)
    yield f"volume_span_{SHORT}", _relation(window)
    body = window.series("body", lambda: window.price("close") - window.price("open"))
    signed = window.series("signed_volume", lambda: np.sign(body) * volumes)
    yield "signed_volume_12", ratio(window.total(signed, 12), window.total(volumes, 12))


def _relation(window: Window) -> Floats:
    """Correlation of log volume and log range over the traded ones of 72 candles.

    It is 0 if one of them does not vary.
    """
    traded = window.series("traded", lambda: traded_flag(window.volumes))
    volume = window.series("log_volume", lambda: log_traded(window.volumes))
    spans = window.series("traded_span", lambda: (window.log_spans + CENTRE) * traded)
    count = np.maximum(window.total(traded, SHORT), 1.0)

    def mean(name: str, left: Floats, right: Floats) -> Floats:
        return window.total(window.series(name, lambda: left * right), SHORT) / count

    volume_mean = window.total(volume, SHORT) / count
    span_mean = window.total(spans, SHORT) / count
    volume_spread = mean("log_volume_square", volume, volume) - volume_mean * volume_mean
    span_spread = mean("traded_span_square", spans, spans) - span_mean * span_mean
    shared = mean("volume_by_span", volume, spans) - volume_mean * span_mean
    return correlation(shared, np.maximum(volume_spread, 0.0) * np.maximum(span_spread, 0.0))


def traded_flag(volumes: Floats) -> Floats:
    """1 where anything was traded."""
    return (volumes > 0.0).astype(np.float64)


def log_traded(volumes: Floats) -> Floats:
    """Logarithm of a traded quantity, 0 where there is none."""
    return np.log(np.where(volumes > 0.0, volumes, 1.0))


def correlation(shared: Floats, spread: Floats) -> Floats:
    """Covariance over the root of the product of variances; 0 where one does not vary."""
    # Below this the spread is only rounding error of two equal numbers, and the quotient would be meaningless.
    return np.where(spread > 1e-16, np.clip(ratio(shared, np.sqrt(spread)), -1.0, 1.0), 0.0)
