"""Features: what an estimator is told about a candle. They look back, never ahead.

One function serves live (`rows=1`) and batch (many rows) and gives the same float32 bits in both: see
:mod:`indicators.kernels`.
"""

from indicators.features.build import FEATURE_HASH, FEATURE_NAMES, build_features, iter_features
from indicators.features.window import WARMUP

__all__ = ["FEATURE_HASH", "FEATURE_NAMES", "WARMUP", "build_features", "iter_features"]
