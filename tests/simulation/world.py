"""Virtual time: one list of things to come, a clock that jumps to the next of them, and an event loop that lives in it."""

import asyncio
import hashlib
import heapq
import random

BUSY = 50_000  # turns of the loop at one instant that can only be a circle


class World:
    """Everything that happens, in one order, told to one hash.

    `now` is monotonic seconds since the beginning. `sleeping` are those to wake after an event, so that a
    virtual day costs as much as what happens in it.
    """

    def __init__(self, seed):
        self.seed = seed
        self.now = 0.0
        self.trace = None  # a list, or anything with append, to keep every event in
        self.events = 0
        self._things = []
        self._order = 0
        self._hash = hashlib.sha256()

    def dice(self, purpose):
        """An own stream of chance for every purpose, so that one does not shift the other."""
        return random.Random(f"{self.seed}:{purpose}")

    def at(self, when, act):
        """Let `act()` happen at `when`, or now if that is past."""
        self._order += 1
        heapq.heappush(self._things, (max(when, self.now), self._order, act))

    def after(self, seconds, act):
        self.at(self.now + seconds, act)

    def note(self, *what):
        """Enter an event into the run's hash."""
        line = f"{self.now:.6f} {' '.join(str(word) for word in what)}"
        self.events += 1
        self._hash.update(line.encode() + b"\n")
        if self.trace is not None:
            self.trace.append(line)

    @property
    def hash(self):
        return self._hash.hexdigest()

    def advance(self, until, interrupted=lambda: False):
        """Let happen what is due until then; stop early when an event gave somebody else something to do."""
        while self._things and self._things[0][0] <= until:
            self.now, _, act = heapq.heappop(self._things)
            act()
            if interrupted():
                return
        self.now = max(self.now, until)

    def next_at(self):
        return self._things[0][0] if self._things else None


class VirtualClock:
    """The clock port in virtual time; the wall clock may be wrong and may step."""

    def __init__(self, world, wall_ms):
        self._world = world
        self._begin_ms = wall_ms
        self.skew_ms = 0

    def wall_ms(self):
        return self._begin_ms + self.skew_ms + int(self._world.now * 1000 + 1e-6)

    def monotonic(self):
        return self._world.now

    def reading(self):
        return None

    def sleep(self, seconds):
        self._world.advance(self._world.now + seconds)


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without files, whose time is the world's: waiting moves the world on instead."""

    def __init__(self, world):
        super().__init__()
        self._world = world
        self._selector = self
        self._clock_resolution = 1e-7
        self._turns = (0.0, 0)

    def time(self):
        return self._world.now

    def select(self, timeout):
        world = self._world
        if timeout is None or timeout > 0:
            self._turns = (world.now, 0)
            until = world.now + timeout if timeout is not None else world.next_at()
            if until is None:
                raise RuntimeError("everybody waits, and nothing will ever happen")
            world.advance(until, lambda: bool(self._ready))
        else:
            at, turns = self._turns
            self._turns = (at, turns + 1) if at == world.now else (world.now, 0)
            if turns > BUSY:
                raise RuntimeError(f"the event loop goes round in circles at {world.now}")
        return []

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass
