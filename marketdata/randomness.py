"""The single source of randomness: jitter and row identities, seedable for simulations."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager


class _State:
    """The seeded generator in use; None for the machine's own randomness."""

    def __init__(self) -> None:
        self.seeded: random.Random | None = None


_state = _State()


@contextmanager
def use(seeded: random.Random) -> Iterator[None]:
    """Use one seeded generator inside the block, in all threads of this process.

    Examples
    --------
    >>> def draw():
    ...     with use(random.Random(1)):
    ...         return default_rng().random(), new_id()
    >>> draw() == draw()
    True
    """
    before, _state.seeded = _state.seeded, seeded
    try:
        yield
    finally:
        _state.seeded = before


def default_rng() -> random.Random:
    """Random generator for jitter; not for secrets."""
    return _state.seeded or random.Random()


def new_id() -> uuid.UUID:
    """New random identity of a row."""
    return uuid.uuid4() if _state.seeded is None else uuid.UUID(int=_state.seeded.getrandbits(128), version=4)
