"""Online correction of quantiles by the recent miss rates of a version's own forecasts.

A pure function of the version and of the last closed candles, without recursion: only raw forecasts are counted, never
corrected ones. Miss counts are integers, so the order of summation cannot change a bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from indicators.candles import DAY_CANDLES
from modelregistry.estimators.forecast import LEVELS


def random_walk_slopes(levels: Sequence[float]) -> tuple[float, ...]:
    """Derivative of the coverage by the log quantile, for a driftless random walk.

    The maximum of the walk is distributed as the absolute value of a normal variable (reflection principle), so with
    ``z`` its quantile the derivative is ``2 z phi(z)``: small at both ends, where a quantile must move far to cover
    a few more outcomes.

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
"""Slopes of versions whose artifact stores none."""
MAX_LOG_CORRECTION = 0.5
"""Largest absolute correction of a log quantile."""
MAX_CANDLES = 30 * DAY_CANDLES
"""Longest window: it is read at every candle, in addition to the warm-up."""


@dataclass(frozen=True)
class Correction:
    """Window and strength of the online correction.

    Parameters
    ----------
    candles : int
        Length of the window; forecasts made in it count once their outcome is known. 0 disables the correction.
    stride : int
        Only candles whose number since 1970 is a multiple of it are counted.
    gain : float
        Share of the miscoverage that is corrected when there are many outcomes.
    prior : float
        Independent outcomes (candles over horizon) at which half of `gain` applies.
    slopes : tuple of float
        Derivative of the coverage of each quantile by its log.
    """

    candles: int = 0
    stride: int = 12
    gain: float = 1.0
    prior: float = 20.0
    slopes: tuple[float, ...] = SLOPES

    @property
    def active(self) -> bool:
        """Whether the correction changes anything."""
        return self.candles > 0 and self.gain > 0

    def log_factors(
        self,
        quantiles: np.ndarray,
        outcomes: np.ndarray,
        counted: np.ndarray,
        at_number: np.ndarray,
        horizons: Sequence[int],
    ) -> np.ndarray:
        """Log factors of every quantile, 0 where too few outcomes are known.

        Looks back only: a forecast counts ``h`` candles after it was made.

        Parameters
        ----------
        quantiles : ndarray of shape (n_counted, n_horizons, 2, 7)
            Raw forecasts of one market for :data:`~modelregistry.estimators.forecast.LEVELS`, in any unit.
        outcomes : ndarray of shape (n_counted, n_horizons, 2)
            Observed values in that unit; NaN where unknown.
        counted : ndarray of int of shape (n_counted,)
            Candle numbers of those forecasts, ascending.
        at_number : ndarray of int of shape (n_asked,)
            Candle numbers to correct at, any order.
        horizons : sequence of int

        Returns
        -------
        ndarray of shape (n_asked, n_horizons, 2, 7)
            Float64; 0 for rows with less than a fifth of the forecasts of a full window.

        Examples
        --------
        >>> correction = Correction(candles=24, stride=1, prior=0.0)
        >>> quantiles, outcomes = np.full((24, 1, 2, 7), 2.0), np.ones((24, 1, 2))
        >>> factors = correction.log_factors(quantiles, outcomes, np.arange(24), np.array([24]), (1,))
        >>> factors[0, 0, 0].round(2).tolist()
        [-0.5, -0.5, -0.5, -0.5, -0.5, -0.29, -0.22]
        """
        below, known = misses_of(quantiles, outcomes)
        result = np.zeros((len(at_number), len(horizons), 2, len(LEVELS)))
        for k, horizon in enumerate(horizons):
            last = np.searchsorted(counted, at_number - horizon, side="right")
            first = np.searchsorted(counted, at_number - horizon - self.candles, side="right")
            misses, seen = (_between(flags[:, k], first, last) for flags in (below, known))
            result[:, k] = self.log_factors_of(misses, seen, horizon)
        return result

    def log_factors_of(self, misses: np.ndarray, seen: np.ndarray, horizon: int) -> np.ndarray:
        """Log factors from counts of misses and of known outcomes.

        Parameters
        ----------
        misses : ndarray of int of shape (n, 2, 7)
            Outcomes below each quantile.
        seen : ndarray of int of shape (n, 2)
            Known outcomes.
        horizon : int

        Returns
        -------
        ndarray of shape (n, 2, 7)
        """
        seen = seen[..., None]
        enough = seen >= max(1, self.candles // self.stride // 5)
        independent = seen * self.stride / horizon
        strength = self.gain * independent / np.maximum(independent + self.prior, 1e-9)
        miscoverage = misses / np.maximum(seen, 1) - np.array(LEVELS)
        shift = -strength * miscoverage / np.array(self.slopes)
        return np.where(enough, np.clip(shift, -MAX_LOG_CORRECTION, MAX_LOG_CORRECTION), 0.0)

    def as_parameters(self) -> dict[str, Any]:
        """JSON values for :meth:`from_parameters`."""
        return dict(vars(self))

    @classmethod
    def from_parameters(cls, kept: Mapping[str, Any]) -> Self:
        """Rebuild from JSON.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        slopes = tuple(float(slope) for slope in kept.get("slopes", LEGACY_SLOPES))
        found = cls(int(kept["candles"]), int(kept["stride"]), float(kept["gain"]), float(kept["prior"]), slopes)
        if len(slopes) != len(LEVELS) or not all(0.01 <= slope <= 1 for slope in slopes):
            raise ValueError(f"a correction with slopes {list(slopes)} is out of range")
        if not 0 <= found.candles <= MAX_CANDLES or found.stride < 1 or not 0 <= found.gain <= 2 or found.prior < 0:
            raise ValueError(f"a correction of {dict(kept)} is out of range")
        return found


NO_CORRECTION = Correction()
DEFAULT_CORRECTION = Correction(candles=21 * DAY_CANDLES, stride=12, gain=0.75, prior=20.0)
"""Chosen by walk-forward evaluation: `docs/decisions/0014`."""


def misses_of(quantiles: np.ndarray, outcomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles that an outcome lies below, and outcomes that are known.

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
    """Number of flags set between `first` and `last` on the first axis, per pair."""
    total = np.concatenate([np.zeros((1, *flags.shape[1:]), dtype=np.int64), np.cumsum(flags, axis=0, dtype=np.int64)])
    counts: np.ndarray = total[last] - total[first]
    return counts


def outcomes_after(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, at: np.ndarray, horizons: Sequence[int]
) -> np.ndarray:
    """``log(H / C)`` and ``log(C / L)`` of the candles after the positions `at`.

    Parameters
    ----------
    high, low, close : ndarray of shape (n,)
        Closed candles of one market.
    at : ndarray of int of shape (n_at,)

    Returns
    -------
    ndarray of shape (n_at, n_horizons, 2)
        NaN where a candle after the position is missing or not closed yet.

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
    """``log(H / C)`` and ``log(C / L)``, at least 0, on a new last axis."""
    return np.maximum(np.stack([np.log(highest / close), np.log(close / lowest)], axis=-1), 0.0)
