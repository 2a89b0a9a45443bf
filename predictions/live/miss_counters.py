"""Live miss counters: recent forecast misses and out-of-distribution flags of all markets.

A candle adds a forecast, if it is one of those counted, and scores the forecasts whose outcome it completes.
Kept beside the windows of :mod:`predictions.live.windows` and checked in the same way. Only flags are kept of a scored
forecast, and integers are summed over them, so the factors are bit-identical to those of the batch.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import NewestFeatures
from modelregistry.estimators.counters import RecentForecasts, lookback_candles
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.online.correction import misses_of, outcomes_of
from modelregistry.estimators.range_predictor import RangePredictor


class LiveMissCounters:
    """Raw forecasts of m markets without outcome, and the quantiles missed by earlier ones.

    Memory is about 25 KB per market with the default correction.
    """

    def __init__(self, predictor: RangePredictor, n_markets: int) -> None:
        self.predictor = predictor
        self._horizons = predictor.horizons
        self._stride = predictor.correction.stride
        sides = (len(predictor.horizons), n_markets, 2)
        # Ring buffers, indexed by the number of the counted candle.
        self._pending = np.zeros((max(self._horizons) // self._stride + 1, *sides, len(LEVELS)))
        self._forecast = np.zeros((len(self._pending), n_markets), dtype=np.bool_)
        depth = lookback_candles(predictor) // self._stride + 1
        self._known = np.zeros((depth, *sides), dtype=np.bool_)
        self._below = np.zeros((depth, *sides, len(LEVELS)), dtype=np.bool_)
        self._counted, self._flagged = (np.zeros((depth, n_markets), dtype=np.bool_) for _ in range(2))

    @property
    def n_bytes(self) -> int:
        """Memory used, in bytes."""
        kept = (self._pending, self._forecast, self._known, self._below, self._counted, self._flagged)
        return sum(one.nbytes for one in kept)

    def fill(self, market: int, counted: RecentForecasts, number: int) -> None:
        """Replace the counters of one market by those of its window up to `number`."""
        for kept in (self._known, self._below):
            kept[:, :, market] = False
        for flags in (self._counted, self._flagged):
            flags[:, market] = False
        self._forecast[:, market] = False
        turn = counted.number // self._stride
        below, known = misses_of(counted.quantiles, counted.outcomes)
        self._known[turn % len(self._known), :, market] = known
        self._below[turn % len(self._below), :, market] = below
        self._counted[turn % len(self._counted), market] = True
        self._flagged[turn % len(self._flagged), market] = counted.flagged
        for k in np.flatnonzero(turn > number // self._stride - len(self._pending)):
            slot = turn[k] % len(self._pending)
            self._pending[slot, :, market], self._forecast[slot, market] = counted.quantiles[k], True

    def push(self, newest: NewestFeatures) -> None:
        """Process the candle that was just added to the windows."""
        number, grid = newest.open_time // newest.interval_ms, newest.grid
        if number % self._stride == 0:
            self._add_forecast(number // self._stride, newest)
        for k, horizon in enumerate(self._horizons):
            if (number - horizon) % self._stride == 0:
                self._score((number - horizon) // self._stride, k, horizon, grid)

    def corrected(self, inputs: ModelInputs, number: int) -> ModelInputs:
        """Inputs of the newest candle, `number` since 1970, with correction and guard."""
        return replace(inputs, log_factors=self._log_factors(number), guard_suppresses=self._guard_suppresses(number))

    def _guard_suppresses(self, number: int) -> npt.NDArray[np.bool_] | None:
        guard = self.predictor.novelty.guard
        if not guard.active:
            return None
        turns = np.arange((number - guard.candles) // self._stride + 1, number // self._stride + 1) % len(self._counted)
        flagged, counted = (flags[turns].sum(axis=0, dtype=np.int64) for flags in (self._flagged, self._counted))
        return guard.suppresses(flagged, counted, self._stride)

    def _log_factors(self, number: int) -> npt.NDArray[np.float64] | None:
        correction = self.predictor.correction
        if not correction.active:
            return None
        factors = np.zeros((self._known.shape[2], len(self._horizons), 2, len(LEVELS)))
        for k, horizon in enumerate(self._horizons):
            first, last = ((number - horizon - back) // self._stride + 1 for back in (correction.candles, 0))
            turns = np.arange(first, last) % len(self._known)
            misses, counted = (kept[turns, k].sum(axis=0, dtype=np.int64) for kept in (self._below, self._known))
            factors[:, k] = correction.log_factors_of(misses, counted, horizon)
        return factors

    def _add_forecast(self, turn: int, newest: NewestFeatures) -> None:
        features, sigma = newest.rows()
        valid = np.isfinite(features[:, 0]) & np.isfinite(sigma)
        slot, ring = turn % len(self._pending), turn % len(self._known)
        self._forecast[slot] = valid
        self._known[ring] = self._below[ring] = False
        self._counted[ring], self._flagged[ring] = valid, False
        self._flagged[ring, valid] = self.predictor.novelty.is_novel(features[valid])
        if valid.any() and self.predictor.correction.active:
            self._pending[slot][:, valid] = self.predictor.distances(features[valid], sigma[valid]).swapaxes(0, 1)

    def _score(self, turn: int, k: int, horizon: int, grid: CandleGrid) -> None:
        """Score a forecast with the candles after it, up to the newest."""
        slot, ring, at = turn % len(self._pending), turn % len(self._known), len(grid) - 1 - horizon
        highest, lowest = grid.high[:, at + 1 :].max(axis=1), grid.low[:, at + 1 :].min(axis=1)
        outcomes = outcomes_of(highest, lowest, grid.close[:, at])
        outcomes[~self._forecast[slot]] = np.nan
        self._below[ring, k], self._known[ring, k] = misses_of(self._pending[slot, k], outcomes)
