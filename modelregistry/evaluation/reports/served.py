"""Forecasts as served: with the online correction by the misses before each row."""

import numpy as np

from indicators.features import WARMUP
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.counters import factors_at, lookback_candles
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor


def factors_before(predictor: RangePredictor, rows: Dataset) -> np.ndarray | None:
    """Log factors of every quantile of every row, or None without a correction.

    The counted forecasts are recomputed from the candles before each row, so they do not depend on the other rows.

    Parameters
    ----------
    predictor : RangePredictor
    rows : Dataset
        Rows with complete features.

    Returns
    -------
    ndarray of shape (n_rows, n_horizons, 2, 7)
        For the horizons of the predictor.
    """
    # A search scores predictors without a correction.
    if not getattr(predictor, "correction", NO_CORRECTION).active:
        return None
    found = np.zeros((len(rows), len(predictor.horizons), 2, len(LEVELS)))
    for code in np.unique(rows.market):
        in_market = rows.market == code
        positions = rows.position[in_market]
        start = max(int(positions.min()) - (WARMUP - 1) - lookback_candles(predictor), 0)
        grid = rows.grid.span(start, int(positions.max()) + 1).select(int(code))
        found[in_market] = factors_at(predictor, grid, positions - start)
    return found


def served_forecast(predictor: RangePredictor, rows: Dataset) -> RangeForecast:
    """Forecast rows as the live path does."""
    inputs = rows.features, rows.close, rows.sigma
    factors = factors_before(predictor, rows)
    return predictor.predict(*inputs) if factors is None else predictor.predict(*inputs, factors)


def uncorrected_forecast(predictor: RangePredictor, rows: Dataset) -> RangeForecast | None:
    """Forecast without the online correction; None if there is none."""
    if not getattr(predictor, "correction", NO_CORRECTION).active:
        return None
    return predictor.predict(rows.features, rows.close, rows.sigma)
