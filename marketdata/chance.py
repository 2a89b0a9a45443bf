"""The only door to chance: jitter and identities, which a simulation draws from a seed."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager


class _Port:
    """Where randomness comes from; None is the machine's own."""

    def __init__(self) -> None:
        self.seeded: random.Random | None = None


_port = _Port()


@contextmanager
def use(seeded: random.Random) -> Iterator[None]:
    """Draw everything from one seeded source for a while, in all threads of this process.

    Examples
    --------
    >>> def draw():
    ...     with use(random.Random(1)):
    ...         return dice().random(), new_id()
    >>> draw() == draw()
    True
    """
    before, _port.seeded = _port.seeded, seeded
    try:
        yield
    finally:
        _port.seeded = before


def dice() -> random.Random:
    """Give a source of jitter; nothing secret may come from it."""
    return _port.seeded or random.Random()


def new_id() -> uuid.UUID:
    """Make a random identity for a row."""
    return uuid.uuid4() if _port.seeded is None else uuid.UUID(int=_port.seeded.getrandbits(128), version=4)
