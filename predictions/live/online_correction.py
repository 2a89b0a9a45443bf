"""Online correction and out-of-distribution guard of the champion, per candle. Pure."""

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from modelregistry.estimators import counters
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.range_predictor import RangePredictor


def corrector_of(ensemble: Ensemble | None) -> RangePredictor | None:
    """The range predictor of an ensemble if it has an online correction or a guard."""
    predictor = ensemble.range_predictor if ensemble is not None else None
    return predictor if counters.lookback_candles(predictor) else None


def reach_of(ensemble: Ensemble | None) -> int:
    """Candles needed before the warm-up of the oldest row; 0 without correction and guard."""
    return counters.lookback_candles(corrector_of(ensemble))


def log_factors(
    grid: CandleGrid, rows: int, ensemble: Ensemble, wanted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """Logs of the correction factors of the wanted candles; None without correction.

    See :func:`online_adjustment`.
    """
    return online_adjustment(grid, rows, ensemble, wanted)[0]


def online_adjustment(
    grid: CandleGrid, rows: int, ensemble: Ensemble, wanted: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None]:
    """Logs of the correction factors of the wanted candles, and where the guard suppresses.

    A row depends only on the candles in its own warm-up and reach, so one row alone is bit-identical to the same row
    of a batch of years. A window shorter than that gives no adjustment, rather than a different one.

    Parameters
    ----------
    grid : CandleGrid
        m markets.
    rows : int
        Number of newest candles.
    wanted : bool array of shape (m, rows)

    Returns
    -------
    log_factors : ndarray of shape (n_asked, n_horizons, 2, 7) or None
        None without correction.
    guard_suppresses : bool array of shape (n_asked,) or None
        None without guard.
    """
    predictor, reach = corrector_of(ensemble), reach_of(ensemble)
    if predictor is None or len(grid) < WARMUP + rows - 1 + reach or not wanted.any():
        return None, None
    grid = grid.tail(WARMUP + rows - 1 + reach)
    newest = np.arange(len(grid) - rows, len(grid))
    # Market by market: the features of three weeks for hundreds of markets would not fit into memory.
    found = [
        counters.corrections_at(predictor, grid.select(market), newest[chosen])
        for market, chosen in enumerate(wanted)
        if chosen.any()
    ]
    factors, suppresses = (np.concatenate(column) for column in zip(*found, strict=True))
    return factors if predictor.correction.active else None, suppresses if predictor.novelty.guard.active else None
