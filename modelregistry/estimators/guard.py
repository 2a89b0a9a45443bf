"""When the measure of strangeness is itself the thing that is wrong: it has called too much strange lately."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

MAX_CANDLES = 30 * 288
"""Longest memory: it is read at every candle, beside the warm-up."""


@dataclass(frozen=True)
class Guard:
    """How much of a market's newest candles a measure may call strange before it is not believed.

    A pure function of the version and of the last closed candles: those whose number since 1970 is divided by the
    stride of the version's correction are looked at, the newest included.

    Parameters
    ----------
    candles : int
        How far back to look; 0 believes the measure always.
    share : float
        Largest share that may be called strange.
    """

    candles: int = 0
    share: float = 0.3

    @property
    def active(self) -> bool:
        """Whether anything is ever disbelieved."""
        return self.candles > 0

    def suppresses(self, strange: np.ndarray, seen: np.ndarray, stride: int) -> np.ndarray:
        """Whether the measure is not believed, from counts.

        Parameters
        ----------
        strange, seen : ndarray of int of shape (n,)
            Candles called strange, and candles looked at.
        stride : int
            Candles between those looked at.

        Returns
        -------
        ndarray of bool of shape (n,)
            False where less than half of a whole window was looked at: little is no evidence against anybody.

        Examples
        --------
        >>> guard = Guard(candles=120, share=0.3)
        >>> guard.suppresses(np.array([3, 4, 3]), np.array([10, 10, 4]), stride=12).tolist()
        [False, True, False]
        """
        enough = seen >= max(1, self.candles // stride // 2)
        distrusted: np.ndarray = self.active & enough & (strange > self.share * seen)
        return distrusted

    def suppressed_at(self, number: np.ndarray, strange: np.ndarray, asked: np.ndarray, stride: int) -> np.ndarray:
        """Whether the measure is not believed at some candles of one market; looks back only.

        Parameters
        ----------
        number : ndarray of int of shape (n,)
            Numbers of the candles looked at, ascending.
        strange : ndarray of bool of shape (n,)
        asked : ndarray of int of shape (n_asked,)
            Numbers of the candles asked about, any order.
        stride : int
        """
        total = np.concatenate([[0], np.cumsum(strange, dtype=np.int64)])
        last = np.searchsorted(number, asked, side="right")
        first = np.searchsorted(number, asked - self.candles, side="right")
        return self.suppresses(total[last] - total[first], last - first, stride)

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
        found = cls(int(kept["candles"]), float(kept["share"]))
        if not 0 <= found.candles <= MAX_CANDLES or not 0 < found.share <= 1:
            raise ValueError(f"a guard of {dict(kept)} makes no sense")
        return found


NO_GUARD = Guard()
ONE_WEEK_GUARD = Guard(candles=7 * 288, share=0.3)
"""Two days out of seven: a crash is believed, a new regime or a broken measure is not. `docs/decisions/0016`."""
