"""Exceedance rates of quantiles, and coverage tests of Kupiec and Christoffersen."""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, xlogy

from modelregistry.estimators.forecast import LEVELS
from modelregistry.evaluation.significance.paired import block_error


def exceedance(quantiles: np.ndarray, actual: np.ndarray, open_time: np.ndarray) -> dict[str, list[float]]:
    """Share of outcomes below each quantile and its nominal level, in percent.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        Ascending, for :data:`~modelregistry.estimators.forecast.LEVELS`.
    actual : ndarray of shape (n_rows,)
    open_time : ndarray of shape (n_rows,)
        Milliseconds.

    Returns
    -------
    dict
        `level`, `below` and its block `error`, one entry per level. Ties count half. The share above
        a quantile is 100 minus `below`.

    Examples
    --------
    >>> rows = np.tile(np.arange(7.0), (4, 1))
    >>> found = exceedance(rows, np.array([-1.0, 2.5, 3.0, 9.0]), np.arange(4) * 300_000)
    >>> found["level"][3], found["below"][3], found["below"][6]
    (50.0, 62.5, 75.0)
    """
    hits = np.where(actual[:, None] == quantiles, 0.5, actual[:, None] < quantiles)
    return {
        "level": [100 * level for level in LEVELS],
        "below": [100 * float(share) for share in hits.mean(axis=0)],
        "error": [100 * block_error(hits[:, j], open_time) for j in range(len(LEVELS))],
    }


@dataclass(frozen=True)
class MissTest:
    """Result of tests of the frequency and the independence of misses.

    Parameters
    ----------
    share, expected : float
        Misses per row, observed and nominal.
    after_miss, after_hit : float
        Misses per row one horizon after a miss, and one horizon after a hit; NaN without any.
    p_share : float
        p-value of the nominal share (Kupiec).
    p_independent : float
        p-value of independent misses (Christoffersen).
    p_both : float
        p-value of both hypotheses.
    """

    share: float
    expected: float
    after_miss: float
    after_hit: float
    p_share: float
    p_independent: float
    p_both: float


def miss_test(missed: np.ndarray, expected: float, steps: int = 1) -> MissTest:
    """Christoffersen's tests of an interval forecast.

    Parameters
    ----------
    missed : ndarray of bool of shape (n_rows,)
        Whether the outcome fell outside, in time order at even distances.
    expected : float
        Nominal share of misses, strictly between 0 and 1.
    steps : int
        Horizon in rows. Neighbouring outcomes share candles, so their misses are dependent by construction:
        the rows are split into `steps` series without overlap, and the smallest p-value is multiplied by `steps`.

    Raises
    ------
    ValueError
        If `expected` is not a share, or a series would have fewer than two rows.

    References
    ----------
    Christoffersen, P. F. (1998). Evaluating interval forecasts. International Economic Review, 39(4), 841-862.
    Kupiec, P. H. (1995). Techniques for verifying the accuracy of risk measurement models. Journal of Derivatives,
    3(2), 73-84.
    Diebold, F. X., Gunther, T. A. and Tay, A. S. (1998). Evaluating density forecasts. International Economic Review,
    39(4), 863-883: the Bonferroni bound for overlapping horizons.

    Examples
    --------
    >>> clustered = np.repeat([True, False, False, False], 25)
    >>> found = miss_test(clustered, 0.25)
    >>> found.share, found.after_miss, round(found.p_share, 3), found.p_independent < 1e-9
    (0.25, 0.96, 1.0, True)
    """
    if not 0 < expected < 1:
        raise ValueError(f"the nominal share must lie between 0 and 1, got {expected}")
    if steps < 1 or len(missed) < 2 * steps:
        raise ValueError(f"{len(missed)} rows cannot be split into {steps} series")
    missed = np.asarray(missed, dtype=bool)
    found = np.array([_likelihood_ratios(missed[start::steps], expected) for start in range(steps)])
    p_values = np.minimum(chdtrc([1, 1, 2], found).min(axis=0) * steps, 1.0)
    before, now = missed[:-steps], missed[steps:]
    return MissTest(
        float(missed.mean()),
        expected,
        float(now[before].mean()) if before.any() else float("nan"),
        float(now[~before].mean()) if not before.all() else float("nan"),
        *(float(value) for value in p_values),
    )


def _likelihood_ratios(missed: np.ndarray, expected: float) -> tuple[float, float, float]:
    """Likelihood ratios of one series: coverage, independence, and both."""
    n, misses = len(missed), int(missed.sum())
    share = misses / n
    nominal = xlogy(misses, expected) + xlogy(n - misses, 1 - expected)
    observed = xlogy(misses, share) + xlogy(n - misses, 1 - share)
    before, now = missed[:-1], missed[1:]
    counts = [[int(((before == a) & (now == b)).sum()) for b in (False, True)] for a in (False, True)]
    ones = counts[0][1] + counts[1][1]
    pooled = ones / (n - 1)
    alike = xlogy(ones, pooled) + xlogy(n - 1 - ones, 1 - pooled)
    apart = 0.0
    for stay, move in counts:
        if stay + move:
            rate = move / (stay + move)
            apart += xlogy(move, rate) + xlogy(stay, 1 - rate)
    share_ratio, order_ratio = max(2 * (observed - nominal), 0.0), max(2 * (apart - alike), 0.0)
    return share_ratio, order_ratio, share_ratio + order_ratio
