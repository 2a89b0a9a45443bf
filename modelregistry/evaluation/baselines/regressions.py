"""Reference baselines: volatility and HAR forecasts fitted on the candidate's training rows."""

from dataclasses import dataclass

import numpy as np

from indicators.candles import DAY_MS, CandleGrid
from modelregistry.estimators.forecast import LEVELS

HAR_WINDOWS = (1, 12, 72, 288, 2016)
SEASON_DAYS = 28
SLOTS = 288
RESCALE_DAYS = 90
NAMES = ("climatology", "ewm", "har", "har_season", "har_season_90d", "walk")
"""Climatology by hour of the week; EWM volatility; HAR on the log range; HAR with time of day, and the same rescaled on
the trailing 90 days; the closed form of a random walk at EWM volatility."""
REQUIRED_BASELINES = ("har_season", "har_season_90d", "har", "ewm", "climatology", "walk")
"""Baselines a candidate must beat."""


def har_inputs(grid: CandleGrid, horizons: tuple[int, ...]) -> np.ndarray:
    """Inputs of the HAR baselines for every candle, shape (n_markets, n, 5 + n_horizons).

    Log Parkinson volatility over five windows, then the log seasonal profile of the coming `h` slots as known
    from the 28 days before. A missing profile is carried forward for at most a week and otherwise NaN, never
    the log of a tiny number.
    """
    import pandas as pd  # imported here: 60 MB that only an evaluation needs

    result = np.full((grid.n_markets, len(grid), len(HAR_WINDOWS) + len(horizons)), np.nan)
    slot = (grid.open_time // grid.interval_ms) % SLOTS
    for market in range(grid.n_markets):
        squared = pd.Series(np.log(grid.high[market] / grid.low[market]) ** 2 / (4 * np.log(2)))
        for k, window in enumerate(HAR_WINDOWS):
            mean = squared.rolling(window, min_periods=max(int(0.9 * window), 1)).mean()
            result[market, :, k] = 0.5 * _log(mean.to_numpy())
        days = squared.groupby(slot).transform(
            lambda one: one.shift(1).rolling(SEASON_DAYS, min_periods=SEASON_DAYS // 2).mean()
        )
        for k, horizon in enumerate(horizons):
            # The slots ahead were last estimated a day earlier, SLOTS - ahead candles ago; longer horizons repeat it.
            ahead = min(horizon, SLOTS)
            coming = days.rolling(ahead).mean().shift(SLOTS - ahead)
            result[market, :, len(HAR_WINDOWS) + k] = 0.5 * _log(coming.ffill(limit=2016).to_numpy())
    return result


def _log(values: np.ndarray) -> np.ndarray:
    positive = np.where(values > 0, values, np.nan)
    return np.log(positive)


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines of one horizon.

    Parameters
    ----------
    horizon : int
    weights, season_weights : ndarray
        Least-squares weights of the log range on the HAR inputs, without and with time of day, constant first.
    quantiles : dict of name to ndarray of shape (2, 7)
        Quantiles of distance over scale, side 0 up and side 1 down.
    means : ndarray of shape (2,)
        Mean of distance over the seasonal scale, the reference of the trailing rescale.
    """

    horizon: int
    weights: np.ndarray
    season_weights: np.ndarray
    quantiles: dict[str, np.ndarray]
    means: np.ndarray

    @classmethod
    def fit(
        cls, horizon: int, season: int, har: np.ndarray, sigma: np.ndarray, up: np.ndarray, down: np.ndarray
    ) -> "Baselines":
        """Fit on training rows.

        Parameters
        ----------
        horizon : int
        season : int
            Column of `har` that holds this horizon's seasonal profile.
        har : ndarray of shape (n_rows, 5 + n_horizons)
        sigma, up, down : ndarray of shape (n_rows,)
            EWM volatility per candle, and the distances as fractions of the close.
        """
        target = np.log1p(up) - np.log1p(-down)
        plain, seasonal = _designs(har, season)
        known = np.isfinite(seasonal).all(axis=1) & np.isfinite(sigma) & (target > 0)
        logs = np.log(target[known])
        weights = np.linalg.lstsq(plain[known], logs, rcond=None)[0]
        season_weights = np.linalg.lstsq(seasonal[known], logs, rcond=None)[0]
        scales = {
            "ewm": sigma[known] * np.sqrt(horizon),
            "har": np.exp(plain[known] @ weights),
            "har_season": np.exp(seasonal[known] @ season_weights),
        }
        sides = np.stack([up[known], down[known]])
        quantiles = {name: np.quantile(sides / scale, LEVELS, axis=1).T for name, scale in scales.items()}
        quantiles["har_season_90d"] = quantiles["har_season"]
        return cls(horizon, weights, season_weights, quantiles, (sides / scales["har_season"]).mean(axis=1))

    def predict(
        self,
        season: int,
        har: np.ndarray,
        sigma: np.ndarray,
        side: int,
        actual: np.ndarray,
        open_time: np.ndarray,
        weight: np.ndarray,
        interval_ms: int,
    ) -> dict[str, np.ndarray]:
        """Quantiles of every baseline for consecutive rows of one market, each of shape (n_rows, 7).

        `actual` is used only by the trailing rescale, and only where complete before the close of a row; `weight` is
        the number of candles each row represents.
        """
        plain, seasonal = _designs(har, season)
        scale = np.exp(seasonal @ self.season_weights)
        delay_ms = (self.horizon + 1) * interval_ms
        factor = _trailing(actual / scale, open_time, weight, delay_ms) / self.means[side]
        factor = np.where(np.isfinite(factor), factor, 1.0)
        scales = {
            "ewm": sigma * np.sqrt(self.horizon),
            "har": np.exp(plain @ self.weights),
            "har_season": scale,
            "har_season_90d": scale * factor,
        }
        return {name: value[:, None] * self.quantiles[name][side] for name, value in scales.items()}


def _designs(har: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray]:
    plain = np.column_stack([np.ones(len(har)), har[:, : len(HAR_WINDOWS)]])
    return plain, np.column_stack([plain, har[:, len(HAR_WINDOWS) + season]])


def _trailing(ratio: np.ndarray, open_time: np.ndarray, weight: np.ndarray, delay_ms: int) -> np.ndarray:
    """Trailing mean over 90 days of ratios known `delay_ms` ago.

    NaN with less than 20 days of candles.
    """
    known = np.searchsorted(open_time, open_time - delay_ms, side="right")
    oldest = np.searchsorted(open_time, open_time - delay_ms - RESCALE_DAYS * DAY_MS, side="right")
    finite = np.isfinite(ratio)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, ratio * weight, 0.0))])
    count = np.concatenate([[0.0], np.cumsum(np.where(finite, weight, 0.0))])
    candles = count[known] - count[oldest]
    return np.where(candles >= 20 * SLOTS, (total[known] - total[oldest]) / np.maximum(candles, 1.0), np.nan)
