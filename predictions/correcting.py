"""What the champion's own forecasts missed lately, for each candle asked about. Pure."""

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP, build_features
from indicators.volatility import ewm_sigma
from modelregistry.estimators.correction import outcomes_after
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.range_predictor import RangePredictor


def reach_of(ensemble: Ensemble | None) -> int:
    """Candles a window must hold before the warm-up of its oldest row: 0 where no forecast is corrected."""
    predictor = ensemble.range_predictor if ensemble is not None else None
    if predictor is None or not predictor.correction.active:
        return 0
    return predictor.correction.candles + max(predictor.horizons)


def log_factors(
    grid: CandleGrid, rows: int, ensemble: Ensemble, asked: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """Logs of the factors of every quantile of every candle asked for, or None where nothing is corrected.

    A row's factors depend on the candles in its own warm-up and reach alone: one row from that window has the bits of
    a batch of years. A shorter window corrects nothing, rather than something else than a longer one would.

    Parameters
    ----------
    grid : CandleGrid
        m markets.
    rows : int
        Newest candles.
    asked : bool array of shape (m, rows)

    Returns
    -------
    ndarray of shape (n_asked, n_horizons, 2, 7)
    """
    reach, predictor = reach_of(ensemble), ensemble.range_predictor
    if not reach or predictor is None or len(grid) < WARMUP + rows - 1 + reach:
        return None
    grid = grid.tail(WARMUP + rows - 1 + reach)
    number = grid.open_time // grid.interval_ms
    position = np.arange(WARMUP - 1, len(grid))
    counted = position[number[position] % predictor.correction.stride == 0]
    features = build_features(grid, rows + reach)[:, counted - (WARMUP - 1)]
    sigma = ewm_sigma(grid, rows + reach)[:, counted - (WARMUP - 1)]
    return np.concatenate(
        [
            _of_market(grid, market, predictor, counted, features[market], sigma[market], number[-rows:][wanted])
            for market, wanted in enumerate(asked)
        ]
    )


def _of_market(
    grid: CandleGrid,
    market: int,
    predictor: RangePredictor,
    counted: npt.NDArray[np.int64],
    features: npt.NDArray[np.float32],
    sigma: npt.NDArray[np.float64],
    asked: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Factors at the candles of one market with the numbers `asked`."""
    there = np.isfinite(features[:, 0]) & np.isfinite(sigma)
    at = counted[there]
    outcomes = outcomes_after(grid.high[market], grid.low[market], grid.close[market], at, predictor.horizons)
    number = grid.open_time[at] // grid.interval_ms
    said = predictor.distances(features[there], sigma[there])
    return predictor.correction.log_factors(said, outcomes, number, asked, predictor.horizons)
