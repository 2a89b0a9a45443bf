"""An online correction of quantiles: what a version's own forecasts missed lately moves the next ones a little.

A pure function of the version and of the last closed candles, without recursion: the forecasts counted are the raw
ones, never corrected ones, and a count of misses is a whole number, so no order of summation can change a bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from modelregistry.estimators.forecast import LEVELS


def random_walk_slopes(levels: Sequence[float]) -> tuple[float, ...]:
    """How much the share below a quantile grows per log of the quantile, were the price a walk without drift.

    Its farthest point on one side is distributed as the size of a normal variable (reflection principle), so with
    ``z`` the quantile of that size the answer is ``2 z phi(z)``: small at both ends, where a quantile must move far
    to catch a few outcomes more.

    References
    ----------
    Feller, W. (1968). An Introduction to Probability Theory and Its Applications, vol. 1, III.7.

    Examples
    --------
    >>> [round(slope, 2) for slope in random_walk_slopes((0.05, 0.5, 0.95))]
    [0.05, 0.43, 0.23]
    """
    normal = NormalDist()
    return tuple(2 * z * normal.pdf(z) for z in (normal.inv_cdf((1 + level) / 2) for level in levels))


SLOPES = random_walk_slopes(LEVELS)
LEGACY_SLOPES = (0.3,) * len(LEVELS)
"""What versions counted with that say nothing of slopes."""
MAX_LOG_CORRECTION = 0.5
"""Largest correction, in logs."""
MAX_CANDLES = 30 * 288
"""Longest memory: it is read at every candle, beside the warm-up."""


@dataclass(frozen=True)
class Correction:
    """How far back to look, and how far to go.

    Parameters
    ----------
    candles : int
        Forecasts made in that many candles are counted, as soon as their outcome is known; 0 turns it off.
    stride : int
        Candles between forecasts counted; those whose number since 1970 it divides.
    gain : float
        Share of the miss that is made up for once there are many outcomes.
    prior : float
        Independent outcomes (candles over horizon) at which half of that is.
    slopes : tuple of float
        How much the share below each quantile grows when the quantile grows by one in logs.
    """

    candles: int = 0
    stride: int = 12
    gain: float = 1.0
    prior: float = 20.0
    slopes: tuple[float, ...] = SLOPES

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.candles > 0 and self.gain > 0

    def log_factors(
        self,
        quantiles: np.ndarray,
        outcomes: np.ndarray,
        counted: np.ndarray,
        asked: np.ndarray,
        horizons: Sequence[int],
    ) -> np.ndarray:
        """Logs of the factors of every quantile, 0 where too little is known.

        Looks back only: a forecast counts ``h`` candles after it was made.

        Parameters
        ----------
        quantiles : ndarray of shape (n_counted, n_horizons, 2, 7)
            Raw forecasts of one market for :data:`~modelregistry.estimators.forecast.LEVELS`, in any unit.
        outcomes : ndarray of shape (n_counted, n_horizons, 2)
            What came, in that unit; NaN where it is not known.
        counted : ndarray of int of shape (n_counted,)
            Numbers of their candles, ascending.
        asked : ndarray of int of shape (n_asked,)
            Numbers of the candles to correct at, any order.
        horizons : sequence of int

        Returns
        -------
        ndarray of shape (n_asked, n_horizons, 2, 7)
            Float64. Below a fifth of the forecasts a whole window holds, the factors of that row are 1 (log 0).

        Examples
        --------
        >>> correction = Correction(candles=24, stride=1, prior=0.0)
        >>> said, came = np.full((24, 1, 2, 7), 2.0), np.ones((24, 1, 2))
        >>> correction.log_factors(said, came, np.arange(24), np.array([24]), (1,))[0, 0, 0].round(2).tolist()
        [-0.5, -0.5, -0.5, -0.5, -0.5, -0.29, -0.22]
        """
        below, known = misses_of(quantiles, outcomes)
        answer = np.zeros((len(asked), len(horizons), 2, len(LEVELS)))
        for k, horizon in enumerate(horizons):
            last = np.searchsorted(counted, asked - horizon, side="right")
            first = np.searchsorted(counted, asked - horizon - self.candles, side="right")
            misses, seen = (_between(flags[:, k], first, last) for flags in (below, known))
            answer[:, k] = self.log_factors_of(misses, seen, horizon)
        return answer

    def log_factors_of(self, misses: np.ndarray, seen: np.ndarray, horizon: int) -> np.ndarray:
        """Logs of the factors from counts: all that is left once it is known what is counted.

        Parameters
        ----------
        misses : ndarray of int of shape (n, 2, 7)
            Outcomes below each quantile.
        seen : ndarray of int of shape (n, 2)
            Outcomes known.
        horizon : int

        Returns
        -------
        ndarray of shape (n, 2, 7)
        """
        seen = seen[..., None]
        enough = seen >= max(1, self.candles // self.stride // 5)
        independent = seen * self.stride / horizon
        trust = self.gain * independent / np.maximum(independent + self.prior, 1e-9)
        off = misses / np.maximum(seen, 1) - np.array(LEVELS)
        return np.where(
            enough, np.clip(-trust * off / np.array(self.slopes), -MAX_LOG_CORRECTION, MAX_LOG_CORRECTION), 0.0
        )

    def as_parameters(self) -> dict[str, Any]:
        """What :meth:`from_parameters` reads."""
        return dict(vars(self))

    @classmethod
    def from_parameters(cls, kept: Mapping[str, Any]) -> Self:
        """Rebuild from JSON.

        Raises
        ------
        ValueError
            If a number makes no sense.
        """
        slopes = tuple(float(slope) for slope in kept.get("slopes", LEGACY_SLOPES))
        found = cls(int(kept["candles"]), int(kept["stride"]), float(kept["gain"]), float(kept["prior"]), slopes)
        if len(slopes) != len(LEVELS) or not all(0.01 <= slope <= 1 for slope in slopes):
            raise ValueError(f"a correction with slopes {list(slopes)} makes no sense")
        if not 0 <= found.candles <= MAX_CANDLES or found.stride < 1 or not 0 <= found.gain <= 2 or found.prior < 0:
            raise ValueError(f"a correction of {dict(kept)} makes no sense")
        return found


NO_CORRECTION = Correction()
DEFAULT_CORRECTION = Correction(candles=21 * 288, stride=12, gain=0.75, prior=20.0)
"""What the walk-forward folds chose: `docs/decisions/0014`."""


def misses_of(quantiles: np.ndarray, outcomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which quantiles an outcome lay below, and which outcomes are known.

    Parameters
    ----------
    quantiles : ndarray of shape (..., 7)
    outcomes : ndarray of shape (...)
        NaN where unknown.

    Examples
    --------
    >>> below, known = misses_of(np.arange(7.0)[None], np.array([4.5]))
    >>> below.astype(int).tolist(), known.tolist()
    ([[0, 0, 0, 0, 0, 1, 1]], [True])
    """
    known = np.isfinite(outcomes)
    return (outcomes[..., None] < quantiles) & known[..., None], known


def _between(flags: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """How many flags are set from `first` up to `last` along the first axis, for each pair."""
    total = np.concatenate([np.zeros((1, *flags.shape[1:]), dtype=np.int64), np.cumsum(flags, axis=0, dtype=np.int64)])
    counts: np.ndarray = total[last] - total[first]
    return counts


def outcomes_after(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, at: np.ndarray, horizons: Sequence[int]
) -> np.ndarray:
    """``log(H / C)`` and ``log(C / L)`` of the candles after the positions `at`, as far as the arrays go.

    Parameters
    ----------
    high, low, close : ndarray of shape (n,)
        Closed candles of one market.
    at : ndarray of int of shape (n_at,)

    Returns
    -------
    ndarray of shape (n_at, n_horizons, 2)
        NaN where the candles after a position are missing or not closed yet.

    Examples
    --------
    >>> three = np.array([100.0, 110.0, 120.0])
    >>> outcomes_after(three, three, three, np.array([0, 2]), (1,)).round(3).tolist()
    [[[0.095, 0.0]], [[nan, nan]]]
    """
    found = np.full((len(at), len(horizons), 2), np.nan)
    for k, horizon in enumerate(horizons):
        rows = np.flatnonzero(at + horizon < len(close))
        window = at[rows, None] + 1 + np.arange(horizon)
        found[rows, k] = outcomes_of(high[window].max(axis=1), low[window].min(axis=1), close[at[rows]])
    return found


def outcomes_of(highest: np.ndarray, lowest: np.ndarray, close: np.ndarray) -> np.ndarray:
    """``log(H / C)`` and ``log(C / L)``, at least 0, along a new last axis; NaN where a price is."""
    return np.maximum(np.stack([np.log(highest / close), np.log(close / lowest)], axis=-1), 0.0)
