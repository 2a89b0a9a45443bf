"""How long to wait before trying again: longer each time, never too long, never in step with others."""

import random

from marketdata.chance import dice


class Backoff:
    """Delays that double up to a cap, each drawn from its upper half.

    Parameters
    ----------
    first_seconds, longest_seconds : float
        The first delay at most, and any delay at most.
    chance : random.Random, optional
        Where the jitter comes from; give a seeded one to repeat a run.

    Examples
    --------
    >>> backoff = Backoff(1.0, 30.0, random.Random(1))
    >>> delays = [backoff.next_seconds() for _ in range(8)]
    >>> all(low <= delay <= high for delay, low, high in zip(delays, [0.5, 1, 2, 4, 8, 15], [1, 2, 4, 8, 16, 30]))
    True
    """

    def __init__(self, first_seconds: float, longest_seconds: float, chance: random.Random | None = None) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._chance = chance or dice()
        self._tries = 0

    def next_seconds(self) -> float:
        """Seconds to wait now."""
        delay = min(self._first * 2.0 ** min(self._tries, 30), self._longest)
        self._tries += 1
        return delay * (0.5 + 0.5 * self._chance.random())

    def reset(self) -> None:
        """It worked: start over with short delays."""
        self._tries = 0
