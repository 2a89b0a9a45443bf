"""Features: the inputs of the estimators. They look back, never ahead.

A family of features is written once, as functions of a :class:`~indicators.features.window.Window`; one executor,
:class:`~indicators.features.stream.Stream`, runs it on years of candles and on the newest one with the same float32
bits. Batch is `build_features`; `NewestFeatures` gives the newest candle of many markets.
"""

from indicators.features.build import FEATURE_HASH, FEATURE_NAMES, build_features, iter_features
from indicators.features.feature_set import (
    FeatureSet,
    features_for,
    find_families,
    install,
    installed,
    reads_columns,
    reads_markets,
)
from indicators.features.newest import NewestFeatures
from indicators.features.window import WARMUP

__all__ = [
    "FEATURE_HASH",
    "FEATURE_NAMES",
    "WARMUP",
    "FeatureSet",
    "NewestFeatures",
    "build_features",
    "features_for",
    "find_families",
    "install",
    "installed",
    "iter_features",
    "reads_columns",
    "reads_markets",
]
