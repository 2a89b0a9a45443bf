"""What a version says of rows as it is served: corrected by what it missed before each of them."""

import numpy as np

from indicators.features import WARMUP
from modelregistry.estimators.correction import NO_CORRECTION
from modelregistry.estimators.counted import factors_at, lookback_candles
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.training.dataset import Dataset


def factors_before(predictor: RangePredictor, rows: Dataset) -> np.ndarray | None:
    """Logs of the factors of every quantile of every row, or None where nothing is corrected.

    The forecasts counted are made anew from the candles before each row, whichever rows there are.

    Parameters
    ----------
    predictor : RangePredictor
    rows : Dataset
        Answerable rows.

    Returns
    -------
    ndarray of shape (n_rows, n_horizons, 2, 7)
        Horizons of the predictor.
    """
    # A search scores plain forecasters, which correct nothing.
    if not getattr(predictor, "correction", NO_CORRECTION).active:
        return None
    found = np.zeros((len(rows), len(predictor.horizons), 2, len(LEVELS)))
    for code in np.unique(rows.market):
        mine = rows.market == code
        positions = rows.position[mine]
        start = max(int(positions.min()) - (WARMUP - 1) - lookback_candles(predictor), 0)
        grid = rows.grid.span(start, int(positions.max()) + 1).select(int(code))
        found[mine] = factors_at(predictor, grid, positions - start)
    return found


def served(predictor: RangePredictor, rows: Dataset) -> RangeForecast:
    """Forecast answerable rows as the live path would."""
    asked = rows.features, rows.close, rows.sigma
    factors = factors_before(predictor, rows)
    return predictor.predict(*asked) if factors is None else predictor.predict(*asked, factors)


def uncorrected(predictor: RangePredictor, rows: Dataset) -> RangeForecast | None:
    """What a version that corrects itself would say if it did not; None of another one."""
    if not getattr(predictor, "correction", NO_CORRECTION).active:
        return None
    return predictor.predict(rows.features, rows.close, rows.sigma)
