"""Raw forecasts of a predictor on the recent candles of a market, with their outcomes.

Input of the online correction, and of the guard that suppresses a novelty measure which flags too many candles.
"""

from dataclasses import dataclass

import numpy as np

from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.features import WARMUP, iter_features
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.online.correction import outcomes_after
from modelregistry.estimators.range_predictor import RangePredictor

CHUNK = 4_400
"""Rows of features computed at once; one in twelve is kept."""


@dataclass(frozen=True, eq=False)
class RecentForecasts:
    """Raw forecasts of one market and their outcomes.

    Parameters
    ----------
    number : ndarray of int of shape (n,)
        Candle numbers since 1970, ascending.
    quantiles : ndarray of shape (n, n_horizons, 2, 7)
        Quantiles of ``log(H / C)`` and ``log(C / L)``.
    outcomes : ndarray of shape (n, n_horizons, 2)
        NaN where unknown.
    flagged : ndarray of bool of shape (n,)
        Whether the predictor flags the candle as out of distribution.
    """

    number: np.ndarray
    quantiles: np.ndarray
    outcomes: np.ndarray
    flagged: np.ndarray


def lookback_candles(predictor: RangePredictor | None) -> int:
    """Candles a window needs in addition to the warm-up; 0 without correction and guard."""
    if predictor is None:
        return 0
    corrected = predictor.correction.candles + max(predictor.horizons) if predictor.correction.active else 0
    return max(corrected, predictor.novelty.guard.candles)


def recent_forecasts(predictor: RangePredictor, grid: CandleGrid) -> RecentForecasts:
    """Raw forecasts of every counted candle with complete features, and their outcomes.

    A forecast looks back only; its outcome looks ahead, as far as the grid goes.

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
    quantiles = (
        predictor.distances(features, sigma[positions - (WARMUP - 1)])
        if len(positions) and predictor.correction.active
        else np.zeros((len(positions), len(predictor.horizons), 2, len(LEVELS)))
    )
    outcomes = outcomes_after(grid.high[0], grid.low[0], grid.close[0], positions, predictor.horizons)
    return RecentForecasts(number[positions], quantiles, outcomes, predictor.novelty.is_novel(features))


def corrections_at(predictor: RangePredictor, grid: CandleGrid, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log factors at some candles of one market, and whether the guard suppresses there.

    Looks back only, over `WARMUP` and :func:`lookback_candles` candles.

    Parameters
    ----------
    predictor : RangePredictor
    grid : CandleGrid
        One market; older candles change nothing.
    positions : ndarray of int of shape (n,)

    Returns
    -------
    log_factors : ndarray of shape (n, n_horizons, 2, 7)
        Zero where too few outcomes are known.
    guard_suppresses : bool ndarray of shape (n,)
    """
    counted, correction = recent_forecasts(predictor, grid), predictor.correction
    at_number = grid.open_time[positions] // grid.interval_ms
    factors = correction.log_factors(counted.quantiles, counted.outcomes, counted.number, at_number, predictor.horizons)
    suppressed = predictor.novelty.guard.suppressed_at(counted.number, counted.flagged, at_number, correction.stride)
    return factors, suppressed
