"""Grouping of rows by volatility tercile, by week or month, and by day."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from indicators.candles import DAY_MS

TERCILES = ("calm", "middle", "wild")
MONTHS_FROM_DAYS = 100
"""Shorter periods are grouped by weeks."""


def terciles(sigma: np.ndarray) -> np.ndarray:
    """Volatility tercile of each row: 0 low, 1 middle, 2 high, -1 unknown.

    Examples
    --------
    >>> terciles(np.array([3.0, 1.0, 2.0, np.nan])).tolist()
    [2, 0, 1, -1]
    """
    known = np.isfinite(sigma)
    if not known.any():
        return np.full(len(sigma), -1)
    edges = np.quantile(sigma[known], [1 / 3, 2 / 3])
    return np.where(known, np.searchsorted(edges, np.where(known, sigma, 0.0), side="left"), -1)


def periods(open_time: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Calendar month of each row, or week where the rows span few days.

    Returns
    -------
    names : list of str
        ``2024-11`` for a month, the Monday's date for a week; ascending.
    which : ndarray of int of shape (n_rows,)

    Examples
    --------
    >>> periods(np.array([0, 86_400_000 * 4, 86_400_000 * 5]))  # 1970 began on a Thursday
    (['1969-12-29', '1970-01-05'], array([0, 1, 1]))
    """
    days, which_day = np.unique(np.asarray(open_time) // DAY_MS, return_inverse=True)
    by_month = len(days) > 0 and days[-1] - days[0] >= MONTHS_FROM_DAYS
    named = [_month(day) if by_month else _week(day) for day in days]
    names = sorted(set(named))
    return names, np.array([names.index(name) for name in named], dtype=np.int64)[which_day]


def daily_gain(
    gains: Sequence[np.ndarray], floors: Sequence[np.ndarray], open_times: Sequence[np.ndarray]
) -> dict[str, float]:
    """Skill by day (UTC): loss difference over the baseline's mean loss, averaged over cells.

    Parameters
    ----------
    gains, floors : sequences of ndarrays of shape (n_rows,)
        Per cell: baseline loss minus own loss, and baseline loss.
    open_times : sequence of ndarrays of shape (n_rows,)
        Milliseconds.

    Examples
    --------
    >>> daily_gain([np.array([1.0, 3.0])], [np.array([10.0, 10.0])], [np.array([0, 86_400_000])])
    {'1970-01-01': 0.1, '1970-01-02': 0.3}
    """
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for gain, floor, open_time in zip(gains, floors, open_times, strict=True):
        days, which = np.unique(open_time // DAY_MS, return_inverse=True)
        means = np.bincount(which, gain) / np.bincount(which) / floor.mean()
        for day, mean in zip(days.tolist(), means.tolist(), strict=True):
            sums[day] = sums.get(day, 0.0) + mean
            counts[day] = counts.get(day, 0) + 1
    return {_date(day): round(sums[day] / counts[day], 8) for day in sorted(sums)}


def _date(day: int) -> str:
    return datetime.fromtimestamp(int(day) * 86_400, UTC).strftime("%Y-%m-%d")


def _month(day: int) -> str:
    return _date(day)[:7]


def _week(day: int) -> str:
    # Day 0 was a Thursday, three days after its Monday.
    return _date(day - (day + 3) % 7)
