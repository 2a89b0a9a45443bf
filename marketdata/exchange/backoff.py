"""Exponential backoff with jitter and an upper limit."""

import random

from marketdata.randomness import default_rng


class Backoff:
    """Delays that double up to a limit, each drawn from its upper half.

    Examples
    --------
    >>> backoff = Backoff(1.0, 30.0, random.Random(1))
    >>> delays = [backoff.next_seconds() for _ in range(8)]
    >>> all(low <= delay <= high for delay, low, high in zip(delays, [0.5, 1, 2, 4, 8, 15], [1, 2, 4, 8, 16, 30]))
    True
    """

    def __init__(self, first_seconds: float, longest_seconds: float, rng: random.Random | None = None) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._rng = rng or default_rng()
        self._tries = 0

    def next_seconds(self) -> float:
        """Next delay in seconds."""
        delay = min(self._first * 2.0 ** min(self._tries, 30), self._longest)
        self._tries += 1
        return delay * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Start over with short delays after a success."""
        self._tries = 0
