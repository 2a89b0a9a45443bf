"""What a predictor said raw of every counted candle of a market, and what came of it.

It corrects itself by that, and disbelieves its own measure of strangeness by how often that cried.
"""

from dataclasses import dataclass

import numpy as np

from indicators.candles import CandleGrid
from indicators.features import WARMUP, iter_features
from indicators.volatility import ewm_sigma
from modelregistry.estimators.correction import outcomes_after
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.range_predictor import RangePredictor

CHUNK = 4_400
"""Rows of features computed at once: of twelve of them one is kept."""


@dataclass(frozen=True, eq=False)
class RecentForecasts:
    """Raw forecasts of one market and their outcomes.

    Parameters
    ----------
    number : ndarray of int of shape (n,)
        Numbers of the candles since 1970, ascending.
    said : ndarray of shape (n, n_horizons, 2, 7)
        Quantiles of ``log(H / C)`` and ``log(C / L)``.
    outcomes : ndarray of shape (n, n_horizons, 2)
        NaN where they are not known.
    strange : ndarray of bool of shape (n,)
        Whether the predictor's measure calls the candle unlike its training set.
    """

    number: np.ndarray
    said: np.ndarray
    outcomes: np.ndarray
    strange: np.ndarray


def lookback_candles(predictor: RangePredictor | None) -> int:
    """Candles a window must hold before the warm-up of its oldest row: 0 where nothing is corrected nor guarded."""
    if predictor is None:
        return 0
    corrected = predictor.correction.candles + max(predictor.horizons) if predictor.correction.active else 0
    return max(corrected, predictor.novelty.guard.candles)


def recent_forecasts(predictor: RangePredictor, grid: CandleGrid) -> RecentForecasts:
    """Forecast every counted candle that has its warm-up and can be answered.

    A forecast looks back only, its outcome ahead, as far as the grid goes.

    Parameters
    ----------
    predictor : RangePredictor
    grid : CandleGrid
        One market, at least `WARMUP` candles.
    """
    stride, number = predictor.correction.stride, grid.open_time // grid.interval_ms
    sigma = ewm_sigma(grid, len(grid) - WARMUP + 1)[0]
    kept, at = [], []
    for span, block in iter_features(grid, CHUNK):
        where = np.arange(span.start, span.stop)
        chosen = (number[span] % stride == 0) & np.isfinite(block[0, :, 0]) & np.isfinite(sigma[where - (WARMUP - 1)])
        kept.append(block[0, chosen])
        at.append(where[chosen])
    positions, features = np.concatenate(at), np.concatenate(kept)
    said = (
        predictor.distances(features, sigma[positions - (WARMUP - 1)])
        if len(positions) and predictor.correction.active
        else np.zeros((len(positions), len(predictor.horizons), 2, len(LEVELS)))
    )
    outcomes = outcomes_after(grid.high[0], grid.low[0], grid.close[0], positions, predictor.horizons)
    return RecentForecasts(number[positions], said, outcomes, predictor.novelty.is_novel(features))


def factors_at(predictor: RangePredictor, grid: CandleGrid, positions: np.ndarray) -> np.ndarray:
    """Logs of the factors of every quantile at some candles of one market.

    Looks back only: the factors at a candle depend on it and on the `WARMUP` and :func:`lookback_candles` candles before.

    Parameters
    ----------
    predictor : RangePredictor
        One that corrects itself.
    grid : CandleGrid
        One market; what lies further back than that changes nothing.
    positions : ndarray of int of shape (n,)

    Returns
    -------
    ndarray of shape (n, n_horizons, 2, 7)
        Zero where too little is known.
    """
    return corrections_at(predictor, grid, positions)[0]


def corrections_at(predictor: RangePredictor, grid: CandleGrid, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`factors_at`, and whether the measure of strangeness is not believed there, shape (n,)."""
    counted, correction = recent_forecasts(predictor, grid), predictor.correction
    asked = grid.open_time[positions] // grid.interval_ms
    factors = correction.log_factors(counted.quantiles, counted.outcomes, counted.number, asked, predictor.horizons)
    distrusted = predictor.novelty.guard.suppressed_at(counted.number, counted.flagged, asked, correction.stride)
    return factors, distrusted
