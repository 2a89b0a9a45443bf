"""Range forecasts, and the projection that makes their quantiles coherent."""

from dataclasses import dataclass
from typing import Self

import numpy as np

LEVELS: tuple[float, ...] = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""Quantile levels of every range forecast."""
MEDIAN = LEVELS.index(0.50)
BANDS: tuple[tuple[float, int, int], ...] = ((0.5, 2, 4), (0.8, 1, 5), (0.9, 0, 6))
"""Central bands as (share, index of the lower level, index of the upper level)."""


@dataclass(frozen=True)
class RangeForecast:
    """Price quantiles of the highest high and lowest low of the next `h` candles.

    Coherent by construction: levels ascend, ``low <= close <= high``, highs do not decrease and lows
    do not increase with the horizon.

    Parameters
    ----------
    horizons : tuple of int
        Horizons in candles, ascending.
    high, low : ndarray of shape (n_rows, n_horizons, 7)
        Prices for :data:`LEVELS`. ``low[..., 0]`` is the price the lowest low falls below with
        probability 5 %.
    """

    horizons: tuple[int, ...]
    high: np.ndarray
    low: np.ndarray

    @classmethod
    def from_distances(cls, horizons: tuple[int, ...], close: np.ndarray, up: np.ndarray, down: np.ndarray) -> Self:
        """Convert log distances to prices after sorting, flooring at zero and nesting.

        Parameters
        ----------
        horizons : tuple of int
            Horizons in candles, ascending.
        close : ndarray of shape (n_rows,)
            Close of the newest candle.
        up, down : ndarray of shape (n_rows, n_horizons, 7)
            Quantiles of ``log(H / C)`` and of ``log(C / L)`` for :data:`LEVELS`.

        Examples
        --------
        >>> up = np.array([[[0.0, 0.0, 0.01, 0.02, 0.03, 0.05, 0.04]]])
        >>> forecast = RangeForecast.from_distances((6,), np.array([100.0]), up, up)
        >>> forecast.high[0, 0].round(2).tolist()
        [100.0, 100.0, 101.01, 102.02, 103.05, 104.08, 105.13]
        >>> forecast.low[0, 0].round(2).tolist()
        [95.12, 96.08, 97.04, 98.02, 99.0, 100.0, 100.0]
        """
        level = np.asarray(close, dtype=np.float64)[:, None, None]
        up, down = nested(up), nested(down)
        return cls(horizons, level * np.exp(up), level * np.exp(-down[:, :, ::-1]))

    def __len__(self) -> int:
        return len(self.high)

    def at(self, horizon: int) -> int:
        """Position of `horizon` on the second axis.

        Raises
        ------
        ValueError
            If the forecast does not have that horizon.
        """
        if horizon not in self.horizons:
            raise ValueError(f"horizon {horizon} is not one of {list(self.horizons)}")
        return self.horizons.index(horizon)

    def width(self) -> np.ndarray:
        """Log distance from the 5 % low to the 95 % high, shape (n_rows, n_horizons)."""
        return np.log(self.high[:, :, -1] / self.low[:, :, 0])

    def reached(self, horizon: int, close: np.ndarray, price: np.ndarray) -> np.ndarray:
        """Probability that `price` is reached, interpolated between the quantiles.

        Beyond the outer quantiles the tail decays exponentially through the last two levels.

        Parameters
        ----------
        horizon : int
            Horizon in candles.
        close, price : ndarray of shape (n_rows,)
            A price above the close is compared with the highs, one below with the lows.

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        k = self.at(horizon)
        close = np.asarray(close, dtype=np.float64)
        above = price >= close
        up = np.log(self.high[:, k] / close[:, None])
        down = np.log(close[:, None] / self.low[:, k, ::-1])
        distance = np.abs(np.log(price / close))
        quantiles = np.where(above[:, None], up, down)
        return _exceedance(quantiles, distance)


def nested(distances: np.ndarray) -> np.ndarray:
    """Sort quantiles, floor them at zero and make them non-decreasing in the horizon.

    Shape (n_rows, n_horizons, 7).
    """
    ordered = np.sort(np.maximum(np.asarray(distances, dtype=np.float64), 0.0), axis=2)
    return np.maximum.accumulate(ordered, axis=1)


def _exceedance(quantiles: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """P(X >= distance) of a non-negative variable, from ascending quantiles at LEVELS."""
    knots = np.concatenate([np.zeros((len(quantiles), 1)), quantiles], axis=1)
    probability = np.array([1.0, *(1.0 - level for level in LEVELS)])
    position = np.clip((knots <= distance[:, None]).sum(axis=1) - 1, 0, len(probability) - 2)
    rows = np.arange(len(knots))
    left, right = knots[rows, position], knots[rows, position + 1]
    share = np.clip((distance - left) / np.maximum(right - left, 1e-12), 0.0, 1.0)
    inside = probability[position] + share * (probability[position + 1] - probability[position])
    outer = np.maximum(quantiles[:, -1] - quantiles[:, -2], 1e-12)
    decay = np.log(probability[-2] / probability[-1]) / outer
    beyond = probability[-1] * np.exp(-decay * np.maximum(distance - quantiles[:, -1], 0.0))
    return np.where(distance > quantiles[:, -1], beyond, inside)
