"""What a version's own forecasts missed lately, and where it cried strange, held in memory for all markets.

A candle adds a forecast, if it is one of those counted, and judges those whose outcome it completes.
Beside the windows of :mod:`predictions.live_windows` and under the same doubts. Only flags are kept of a forecast whose
outcome is known, and whole numbers are counted over them: the factors have the bits of the batch.
"""

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import NewestFeatures
from modelregistry.estimators.correction import misses_of, outcomes_of
from modelregistry.estimators.counted import RecentForecasts, lookback_candles
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.range_predictor import RangePredictor


class HeldMisses:
    """Raw forecasts of m markets waiting for their outcome, and which quantiles those before missed.

    The memory is about 25 KB a market with the correction that is chosen.

    Parameters
    ----------
    predictor : RangePredictor
        One that corrects or guards itself.
    n_markets : int
    """

    def __init__(self, predictor: RangePredictor, n_markets: int) -> None:
        self.predictor = predictor
        self._horizons = predictor.horizons
        self._stride = predictor.correction.stride
        sides = (len(predictor.horizons), n_markets, 2)
        # Rings by number of the counted candle.
        self._waiting = np.zeros((max(self._horizons) // self._stride + 1, *sides, len(LEVELS)))
        self._forecast = np.zeros((len(self._waiting), n_markets), dtype=np.bool_)
        depth = lookback_candles(predictor) // self._stride + 1
        self._known = np.zeros((depth, *sides), dtype=np.bool_)
        self._below = np.zeros((depth, *sides, len(LEVELS)), dtype=np.bool_)
        self._seen, self._strange = (np.zeros((depth, n_markets), dtype=np.bool_) for _ in range(2))

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        kept = (self._waiting, self._forecast, self._known, self._below, self._seen, self._strange)
        return sum(one.nbytes for one in kept)

    def fill(self, market: int, counted: RecentForecasts, number: int) -> None:
        """Take other forecasts for one market: all of its window, up to the newest candle, number `number`."""
        for kept in (self._known, self._below):
            kept[:, :, market] = False
        for flags in (self._seen, self._strange):
            flags[:, market] = False
        self._forecast[:, market] = False
        turn = counted.number // self._stride
        below, known = misses_of(counted.quantiles, counted.outcomes)
        self._known[turn % len(self._known), :, market] = known
        self._below[turn % len(self._below), :, market] = below
        self._seen[turn % len(self._seen), market] = True
        self._strange[turn % len(self._strange), market] = counted.flagged
        for k in np.flatnonzero(turn > number // self._stride - len(self._waiting)):
            slot = turn[k] % len(self._waiting)
            self._waiting[slot, :, market], self._forecast[slot, market] = counted.quantiles[k], True

    def push(self, newest: NewestFeatures) -> None:
        """Take in the candle the window of these markets has just been given."""
        number, grid = newest.open_time // newest.interval_ms, newest.grid
        if number % self._stride == 0:
            self._forecast_now(number // self._stride, newest)
        for k, horizon in enumerate(self._horizons):
            if (number - horizon) % self._stride == 0:
                self._judge((number - horizon) // self._stride, k, horizon, grid)

    def distrusted(self, number: int) -> npt.NDArray[np.bool_] | None:
        """Whether strangeness is not believed at the newest candle, shape (m,); None where nothing is guarded."""
        guard = self.predictor.novelty.guard
        if not guard.active:
            return None
        turns = np.arange((number - guard.candles) // self._stride + 1, number // self._stride + 1) % len(self._seen)
        strange, seen = (flags[turns].sum(axis=0, dtype=np.int64) for flags in (self._strange, self._seen))
        return guard.suppresses(strange, seen, self._stride)

    def log_factors(self, number: int) -> npt.NDArray[np.float64] | None:
        """Logs of the factors at the newest candle, shape (m, n_horizons, 2, 7), by its number since 1970.

        None where nothing is corrected.
        """
        correction = self.predictor.correction
        if not correction.active:
            return None
        answer = np.zeros((self._known.shape[2], len(self._horizons), 2, len(LEVELS)))
        for k, horizon in enumerate(self._horizons):
            first, last = ((number - horizon - back) // self._stride + 1 for back in (correction.candles, 0))
            turns = np.arange(first, last) % len(self._known)
            misses, seen = (kept[turns, k].sum(axis=0, dtype=np.int64) for kept in (self._below, self._known))
            answer[:, k] = correction.log_factors_of(misses, seen, horizon)
        return answer

    def _forecast_now(self, turn: int, newest: NewestFeatures) -> None:
        features, sigma = newest.rows()
        there = np.isfinite(features[:, 0]) & np.isfinite(sigma)
        slot, ring = turn % len(self._waiting), turn % len(self._known)
        self._forecast[slot] = there
        self._known[ring] = self._below[ring] = False
        self._seen[ring], self._strange[ring] = there, False
        self._strange[ring, there] = self.predictor.novelty.is_novel(features[there])
        if there.any() and self.predictor.correction.active:
            self._waiting[slot][:, there] = self.predictor.distances(features[there], sigma[there]).swapaxes(0, 1)

    def _judge(self, turn: int, k: int, horizon: int, grid: CandleGrid) -> None:
        """Compare a forecast with the candles after it, the newest of which has just come."""
        slot, ring, at = turn % len(self._waiting), turn % len(self._known), len(grid) - 1 - horizon
        highest, lowest = grid.high[:, at + 1 :].max(axis=1), grid.low[:, at + 1 :].min(axis=1)
        outcomes = outcomes_of(highest, lowest, grid.close[:, at])
        outcomes[~self._forecast[slot]] = np.nan
        self._below[ring, k], self._known[ring, k] = misses_of(self._waiting[slot, k], outcomes)
