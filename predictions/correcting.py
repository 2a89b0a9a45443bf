"""What the champion's forecasts missed lately, and how often it cried strange, for each candle asked about. Pure."""

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from modelregistry.estimators import counted
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.range_predictor import RangePredictor


def corrector_of(ensemble: Ensemble | None) -> RangePredictor | None:
    """The range predictor that corrects or guards itself, if that is what answers."""
    predictor = ensemble.range_predictor if ensemble is not None else None
    return predictor if counted.lookback_candles(predictor) else None


def reach_of(ensemble: Ensemble | None) -> int:
    """Candles a window must hold before the warm-up of its oldest row: 0 where nothing is corrected nor guarded."""
    return counted.lookback_candles(corrector_of(ensemble))


def log_factors(
    grid: CandleGrid, rows: int, ensemble: Ensemble, asked: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """Logs of the factors of every quantile of every candle asked for, or None where nothing is corrected.

    As :func:`lately` gives them.
    """
    return lately(grid, rows, ensemble, asked)[0]


def lately(
    grid: CandleGrid, rows: int, ensemble: Ensemble, asked: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None]:
    """Logs of the factors of every quantile of every candle asked for, and where strangeness is not believed.

    What a row gets depends on the candles in its own warm-up and reach alone: one row from that window has the bits of
    a batch of years. A shorter window changes nothing, rather than something else than a longer one would.

    Parameters
    ----------
    grid : CandleGrid
        m markets.
    rows : int
        Newest candles.
    asked : bool array of shape (m, rows)

    Returns
    -------
    log_factors : ndarray of shape (n_asked, n_horizons, 2, 7) or None
        None where nothing is corrected.
    distrusted : bool array of shape (n_asked,) or None
        None where nothing is guarded.
    """
    predictor, reach = corrector_of(ensemble), reach_of(ensemble)
    if predictor is None or len(grid) < WARMUP + rows - 1 + reach or not asked.any():
        return None, None
    grid = grid.tail(WARMUP + rows - 1 + reach)
    newest = np.arange(len(grid) - rows, len(grid))
    # Market by market: the features of three weeks of hundreds at once would not fit the memory.
    found = [
        counted.corrections_at(predictor, grid.select(market), newest[wanted])
        for market, wanted in enumerate(asked)
        if wanted.any()
    ]
    factors, distrusted = (np.concatenate(column) for column in zip(*found, strict=True))
    return factors if predictor.correction.active else None, distrusted if predictor.novelty.guard.active else None
