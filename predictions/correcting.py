"""What the champion's own forecasts missed lately, for each candle asked about. Pure."""

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from modelregistry.estimators import counted
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.range_predictor import RangePredictor


def corrector_of(ensemble: Ensemble | None) -> RangePredictor | None:
    """The range predictor that corrects itself, if that is what answers."""
    predictor = ensemble.range_predictor if ensemble is not None else None
    return predictor if counted.reach_of(predictor) else None


def reach_of(ensemble: Ensemble | None) -> int:
    """Candles a window must hold before the warm-up of its oldest row: 0 where no forecast is corrected."""
    return counted.reach_of(corrector_of(ensemble))


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
    predictor, reach = corrector_of(ensemble), reach_of(ensemble)
    if predictor is None or len(grid) < WARMUP + rows - 1 + reach or not asked.any():
        return None
    grid = grid.tail(WARMUP + rows - 1 + reach)
    newest = np.arange(len(grid) - rows, len(grid))
    # Market by market: the features of two weeks of hundreds at once would not fit the memory.
    return np.concatenate(
        [
            counted.factors_at(predictor, grid.select(market), newest[wanted])
            for market, wanted in enumerate(asked)
            if wanted.any()
        ]
    )
