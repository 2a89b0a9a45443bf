"""Arithmetic of the candle grid: opens, closes and the gaps between them. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from indicators.candles import DAY_MS, HOUR_MS, INTERVAL_MS

__all__ = [
    "INTERVAL",
    "INTERVALS",
    "INTERVAL_MS",
    "Gap",
    "count_between",
    "find_gaps",
    "floor_open",
    "interval_ms",
    "last_closed_open",
    "subtract",
]

INTERVAL = "5m"
INTERVALS = (INTERVAL, "15m", "1h", "4h", "1d")
"""Intervals that are made from stored candles, aligned to UTC."""
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


class Gap(NamedTuple):
    """Candles missing from `start` (first missing open) to `end` (first open after, exclusive)."""

    start: int
    end: int

    @property
    def n_candles(self) -> int:
        """Number of missing five-minute candles."""
        return (self.end - self.start) // INTERVAL_MS


def interval_ms(interval: str) -> int:
    """Length of an interval, a number and one of ``s m h d``, in milliseconds.

    Raises
    ------
    ValueError
        If the text is not an interval.

    Examples
    --------
    >>> interval_ms("5m"), interval_ms("1h")
    (300000, 3600000)
    """
    count, unit = interval[:-1], interval[-1:]
    if unit not in _UNIT_MS or not count.isascii() or not count.isdigit() or int(count) < 1:
        raise ValueError(f"{interval!r} is not an interval such as 5m or 1h")
    return int(count) * _UNIT_MS[unit]


def floor_open(instant_ms: int) -> int:
    """Open of the candle that contains an instant.

    Examples
    --------
    >>> floor_open(300_001)
    300000
    """
    return instant_ms - instant_ms % INTERVAL_MS


def last_closed_open(market_ms: int) -> int:
    """Open of the newest candle that is closed at exchange time `market_ms`.

    Examples
    --------
    >>> last_closed_open(599_999), last_closed_open(600_000)
    (0, 300000)
    """
    return floor_open(market_ms) - INTERVAL_MS


def count_between(from_ms: int, until_ms: int, length_ms: int = INTERVAL_MS) -> int:
    """Number of opens in ``[from_ms, until_ms)``.

    Examples
    --------
    >>> count_between(0, 600_000), count_between(1, 600_001)
    (2, 2)
    """
    return max(0, -(-until_ms // length_ms) - -(-from_ms // length_ms))


def find_gaps(
    opens: Sequence[int] | npt.NDArray[np.int64], from_ms: int, until_ms: int, length_ms: int = INTERVAL_MS
) -> list[Gap]:
    """Stretches of ``[from_ms, until_ms)`` without stored opens.

    Parameters
    ----------
    opens : sequence of int
        Existing opens, ascending; those outside the range are ignored.
    from_ms, until_ms : int
        The range, from inclusive to exclusive, on the grid or not.
    length_ms : int
        Candle length.

    Returns
    -------
    list of Gap
        Oldest first.

    Examples
    --------
    >>> find_gaps([0, 300_000, 1_200_000], 0, 1_500_000)
    [Gap(start=600000, end=1200000)]
    >>> find_gaps([], 0, 600_000)
    [Gap(start=0, end=600000)]
    """
    start = -(-from_ms // length_ms) * length_ms
    end = -(-until_ms // length_ms) * length_ms
    if end <= start:
        return []
    within = np.asarray(opens, dtype=np.int64)
    within = within[(within >= start) & (within < end)]
    edges = np.concatenate(([start - length_ms], within, [end]))
    holes = np.flatnonzero(np.diff(edges) > length_ms)
    return [Gap(int(edges[i]) + length_ms, int(edges[i + 1])) for i in holes]


def subtract(gaps: Iterable[Gap], known: Iterable[Gap]) -> list[Gap]:
    """Remaining parts of `gaps` after removing the stretches in `known`.

    Examples
    --------
    >>> subtract([Gap(0, 1_500_000)], [Gap(300_000, 600_000)])
    [Gap(start=0, end=300000), Gap(start=600000, end=1500000)]
    """
    cuts = sorted(known)
    left: list[Gap] = []
    for gap in gaps:
        start = gap.start
        for cut in cuts:
            if cut.end <= start or cut.start >= gap.end:
                continue
            if cut.start > start:
                left.append(Gap(start, cut.start))
            start = max(start, cut.end)
        if start < gap.end:
            left.append(Gap(start, gap.end))
    return left
