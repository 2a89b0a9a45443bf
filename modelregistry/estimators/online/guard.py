"""Guard that suppresses an out-of-distribution measure which flags too many recent candles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from indicators.candles import DAY_CANDLES

MAX_CANDLES = 30 * DAY_CANDLES
"""Longest window: it is read at every candle, in addition to the warm-up."""


@dataclass(frozen=True)
class Guard:
    """Largest share of recent candles a novelty measure may flag before it is suppressed.

    A pure function of the version and of the last closed candles. Only candles whose number since 1970 is a multiple
    of the stride of the version's correction count, the newest included.

    Parameters
    ----------
    candles : int
        Length of the window; 0 never suppresses the measure.
    share : float
        Largest share of candles that may be flagged.
    """

    candles: int = 0
    share: float = 0.3

    @property
    def active(self) -> bool:
        """Whether the guard can suppress anything."""
        return self.candles > 0

    def suppresses(self, flagged: np.ndarray, seen: np.ndarray, stride: int) -> np.ndarray:
        """Whether the measure is suppressed, from counts.

        Parameters
        ----------
        flagged, seen : ndarray of int of shape (n,)
            Candles flagged, and candles counted.
        stride : int
            Candles between counted ones.

        Returns
        -------
        ndarray of bool of shape (n,)
            False where less than half of a full window was counted.

        Examples
        --------
        >>> guard = Guard(candles=120, share=0.3)
        >>> guard.suppresses(np.array([3, 4, 3]), np.array([10, 10, 4]), stride=12).tolist()
        [False, True, False]
        """
        enough = seen >= max(1, self.candles // stride // 2)
        suppressed: np.ndarray = self.active & enough & (flagged > self.share * seen)
        return suppressed

    def suppressed_at(self, number: np.ndarray, flagged: np.ndarray, at_number: np.ndarray, stride: int) -> np.ndarray:
        """Whether the measure is suppressed at some candles of one market; looks back only.

        Parameters
        ----------
        number : ndarray of int of shape (n,)
            Numbers of the counted candles, ascending.
        flagged : ndarray of bool of shape (n,)
        at_number : ndarray of int of shape (n_asked,)
            Candle numbers to evaluate at, any order.
        stride : int
        """
        total = np.concatenate([[0], np.cumsum(flagged, dtype=np.int64)])
        last = np.searchsorted(number, at_number, side="right")
        first = np.searchsorted(number, at_number - self.candles, side="right")
        return self.suppresses(total[last] - total[first], last - first, stride)

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
        found = cls(int(kept["candles"]), float(kept["share"]))
        if not 0 <= found.candles <= MAX_CANDLES or not 0 < found.share <= 1:
            raise ValueError(f"a guard of {dict(kept)} is out of range")
        return found


NO_GUARD = Guard()
ONE_WEEK_GUARD = Guard(candles=7 * DAY_CANDLES, share=0.3)
"""About two days in seven may be flagged: a crash stays flagged, a new regime does not. `docs/decisions/0016`."""
