"""Features: what an estimator is told about a candle. They look back, never ahead.

One definition serves live and batch and gives the same float32 bits in both: see :mod:`indicators.kernels`. Batch is
`build_features`; `NewestFeatures` holds the sums of the past in memory and answers for the newest candle.
"""

from indicators.features.build import FEATURE_HASH, FEATURE_NAMES, build_features, iter_features
from indicators.features.newest import NewestFeatures
from indicators.features.window import WARMUP

__all__ = ["FEATURE_HASH", "FEATURE_NAMES", "WARMUP", "NewestFeatures", "build_features", "iter_features"]
