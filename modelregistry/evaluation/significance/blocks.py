"""Block bootstrap intervals of means over overlapping rows."""

from dataclasses import dataclass

import numpy as np

from modelregistry.evaluation.significance.paired import BLOCK_DAYS, count_days, resampled_ratios

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean, or a ratio of sums, with its confidence bounds.

    Parameters
    ----------
    mean, lower, upper : float
    days : int
        Calendar days with a row.
    """

    mean: float
    lower: float
    upper: float
    days: int


def block_interval(
    values: np.ndarray, open_time: np.ndarray, weights: np.ndarray | None = None, *, draws: int = DRAWS
) -> Interval:
    """95 % percentile interval of ``sum(values) / sum(weights)`` by a bootstrap over calendar blocks.

    Blocks of one day and of one week are resampled; the wider interval is returned.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Rows may overlap within a block.
    open_time : ndarray of shape (n_rows,)
        Milliseconds; rows of different markets at one time fall into one block.
    weights : ndarray of shape (n_rows,), optional
        Ones by default (a mean); a baseline's losses for a skill.
    draws : int
        Number of resamples.

    Raises
    ------
    ValueError
        If there is no row.

    References
    ----------
    Carlstein, E. (1986). The use of subseries values for estimating the variance of a general statistic from a
    stationary sequence. Annals of Statistics, 14(3), 1171-1179.

    Examples
    --------
    >>> times = np.arange(2000) * 300_000
    >>> block_interval(np.ones(2000), times)
    Interval(mean=1.0, lower=1.0, upper=1.0, days=7)
    >>> block_interval(np.ones(2000), times, weights=np.full(2000, 4.0)).mean
    0.25
    """
    if not len(values):
        raise ValueError("an interval needs at least one row")
    weights = np.ones(len(values)) if weights is None else weights
    mean = float(values.sum() / weights.sum())
    widest = (mean, mean)
    for days in BLOCK_DAYS:
        drawn = resampled_ratios(values, weights, open_time, days, draws)
        lower, upper = (float(bound) for bound in np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        if upper - lower > widest[1] - widest[0]:
            widest = (lower, upper)
    return Interval(mean, *widest, count_days(open_time))
