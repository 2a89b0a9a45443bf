"""Forecasts as served: with the online correction by the misses before each row."""

from dataclasses import replace

import numpy as np

from indicators.features import WARMUP
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.counters import corrections_at, lookback_candles
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor


def factors_before(predictor: RangePredictor, rows: Dataset) -> np.ndarray | None:
    """Log factors of every quantile of every row, or None without a correction.

    The counted forecasts are recomputed from the candles before each row, so they do not depend on the other rows.

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
        found[in_market] = corrections_at(predictor, grid, positions - start)[0]
    return found


def served_forecast(predictor: RangePredictor, rows: Dataset) -> RangeForecast:
    """Forecast rows as the live path does."""
    return predictor.predict(replace(rows.inputs, log_factors=factors_before(predictor, rows)))


def uncorrected_forecast(predictor: RangePredictor, rows: Dataset) -> RangeForecast | None:
    """Forecast without the online correction; None if there is none."""
    if not getattr(predictor, "correction", NO_CORRECTION).active:
        return None
    return predictor.predict(rows.inputs)
