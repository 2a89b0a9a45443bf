"""Inputs of the champions for the candles of a window, with online correction and guard. Pure."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.features import WARMUP, build_features
from modelregistry.estimators import counters
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.range_predictor import RangePredictor


def corrector_of(ensemble: Ensemble | None) -> RangePredictor | None:
    """The range predictor of an ensemble if it has an online correction or a guard."""
    predictor = ensemble.range_predictor if ensemble is not None else None
    return predictor if counters.lookback_candles(predictor) else None


def reach_of(ensemble: Ensemble | None) -> int:
    """Candles needed before the warm-up of the oldest row; 0 without correction and guard."""
    return counters.lookback_candles(corrector_of(ensemble))


def window_inputs(grid: CandleGrid, rows: int, ensemble: Ensemble | None, wanted: npt.NDArray[np.bool_]) -> ModelInputs:
    """Inputs of the wanted candles, market by market, oldest first.

    A row depends only on the candles in its own warm-up and reach, so one row alone is bit-identical to the same row
    of a batch of years. A window shorter than that gives no correction and no guard, rather than different ones.
    """
    inputs = ModelInputs(
        build_features(grid, rows)[wanted], grid.close[:, -rows:][wanted], ewm_sigma(grid, rows)[wanted]
    )
    predictor, length = corrector_of(ensemble), WARMUP + rows - 1 + reach_of(ensemble)
    if predictor is None or len(grid) < length or not wanted.any():
        return inputs
    # Earlier forecasts are repeated from all that is stored by now: in memory too, windows are read again when a late
    # candle of another market comes.
    grid = replace(grid.tail(length), late={})
    newest = np.arange(length - rows, length)
    # Market by market: the features of three weeks for hundreds of markets would not fit into memory.
    found = [
        counters.corrections_at(predictor, grid.select(market), newest[chosen])
        for market, chosen in enumerate(wanted)
        if chosen.any()
    ]
    factors, suppresses = (np.concatenate(column) for column in zip(*found, strict=True))
    return replace(
        inputs,
        log_factors=factors if predictor.correction.active else None,
        guard_suppresses=suppresses if predictor.novelty.guard.active else None,
    )
