"""Virtual time: an event queue, a clock and an event loop that jump to the next event."""

import asyncio
import hashlib
import heapq
import random

MAX_ITERATIONS = 50_000  # iterations of the loop at one instant that indicate an endless loop


class World:
    """Event queue of a simulation, with a hash of all events.

    `now` is monotonic seconds since the beginning.
    """

    def __init__(self, seed):
        self.seed = seed
        self.now = 0.0
        self.trace = None  # a list, or anything with append, to keep every event in
        self.events = 0
        self._queue = []
        self._order = 0
        self._hash = hashlib.sha256()

    def rng(self, purpose):
        """Independent random generator for a purpose."""
        return random.Random(f"{self.seed}:{purpose}")

    def at(self, when, act):
        """Schedule `act()` at `when`, or now if that is past."""
        self._order += 1
        heapq.heappush(self._queue, (max(when, self.now), self._order, act))

    def after(self, seconds, act):
        self.at(self.now + seconds, act)

    def note(self, *what):
        """Add an event to the run's hash and trace."""
        line = f"{self.now:.6f} {' '.join(str(word) for word in what)}"
        self.events += 1
        self._hash.update(line.encode() + b"\n")
        if self.trace is not None:
            self.trace.append(line)

    @property
    def hash(self):
        return self._hash.hexdigest()

    def advance(self, until, interrupted=lambda: False):
        """Run the events due until then; stop early when `interrupted()` is true after one."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            if interrupted():
                return
        self.now = max(self.now, until)

    def next_at(self):
        return self._queue[0][0] if self._queue else None


class VirtualClock:
    """The clock in virtual time; its wall clock may be wrong and may be set."""

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
    """An event loop in virtual time, without file descriptors; waiting advances the world."""

    def __init__(self, world):
        super().__init__()
        self._world = world
        self._selector = self
        self._clock_resolution = 1e-7
        self._iterations = (0.0, 0)

    def time(self):
        return self._world.now

    def select(self, timeout):
        world = self._world
        if timeout is None or timeout > 0:
            self._iterations = (world.now, 0)
            until = world.now + timeout if timeout is not None else world.next_at()
            if until is None:
                raise RuntimeError("deadlock: everything waits and no event is scheduled")
            world.advance(until, lambda: bool(self._ready))
        else:
            at, turns = self._iterations
            self._iterations = (at, turns + 1) if at == world.now else (world.now, 0)
            if turns > MAX_ITERATIONS:
                raise RuntimeError(f"endless loop of the event loop at {world.now}")
        return []

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass
