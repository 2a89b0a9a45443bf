"""Sliding-window rate limiter: at most N calls in any 60 seconds, over all processes, mostly counted in memory.

The shared counter is in Redis. A process reserves calls of a bucket there for the next second, and counts them itself
without I/O; calls it did not need are given back at its next reservation. A reservation is as large as the calls of the
last one, doubled where those were used up early, and never more than an eighth of what is left: slow callers and those
near their limit are counted call by call. Reserved calls count as made at the end of their second, so that no sixty
seconds hold more than the limit. Without Redis (embedded, or while it cannot be reached) the process counts alone.
"""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

from marketdata import clock

WINDOW_SECONDS = 60.0
RESERVED_SECONDS = 1.0
"""How long reserved calls may be used."""
SHARE = 8
"""A reservation takes at most one of so many parts of the calls left."""
REDIS_PAUSE_SECONDS = 5.0
"""Pause after a failure of Redis, so that its timeout is not paid at every call."""
MAX_BUCKETS = 10_000
"""Maximum number of buckets in memory; the smallest are dropped first when an attacker invents addresses."""

SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local limit, window, reserved = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local entry, wanted, before, made = ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZREM', KEYS[1], before) == 1 and made > 0 then
  local last = string.sub(before, 1, string.find(before, ':')) .. made
  redis.call('ZADD', KEYS[1], now, last)
end
local used = 0
local entries = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, name in ipairs(entries) do used = used + tonumber(string.match(name, ':(%d+)$')) end
local given = math.max(math.min(wanted, math.floor((limit - used) / tonumber(ARGV[8]))), math.min(1, limit - used))
if given > 0 then
  local at = now
  if given > 1 then at = now + reserved end
  redis.call('ZADD', KEYS[1], at, entry .. ':' .. given)
end
redis.call('PEXPIRE', KEYS[1], math.ceil((window + reserved) / 1000))
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local free_in = 0
if oldest[2] then free_in = math.min(tonumber(oldest[2]) - now + window, window) end
return {math.max(given, 0), used, free_in}
"""
"""Corrects the last reservation to the calls made, then reserves up to `wanted` calls; one entry is `id:calls`."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Result of one call: admitted or not, calls left, and seconds until the oldest entry expires."""

    admitted: bool
    remaining: int
    reset_seconds: float


class LocalWindow:
    """A window inside one process, behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[str, deque[float]] = {}

    def take(self, bucket: str, limit: int) -> WindowResult:
        """Admit or refuse one call."""
        now = clock.monotonic()
        with self._lock:
            if len(self._logs) >= MAX_BUCKETS and bucket not in self._logs:
                self._drop_idle(now)
            log = self._logs.setdefault(bucket, deque())
            while log and log[0] <= now - WINDOW_SECONDS:
                log.popleft()
            admitted = len(log) < limit
            if admitted:
                log.append(now)
            reset = log[0] + WINDOW_SECONDS - now if log else 0.0
            return WindowResult(admitted, max(0, limit - len(log)), reset)

    def clear(self) -> None:
        """Drop every log."""
        with self._lock:
            self._logs.clear()

    def _drop_idle(self, now: float) -> None:
        for bucket in [name for name, log in self._logs.items() if not log or log[-1] <= now - WINDOW_SECONDS]:
            del self._logs[bucket]
        while len(self._logs) >= MAX_BUCKETS:
            del self._logs[min(self._logs, key=lambda name: len(self._logs[name]))]


@dataclass(slots=True)
class Reservation:
    """Calls of one bucket that this process may admit until a time, as entered in Redis."""

    entry: str
    limit: int
    calls: int
    used_before: int
    reserved_at: float
    reset_seconds: float
    made: int = 0

    def take(self, limit: int, now: float) -> WindowResult | None:
        """Admit one call; None when the calls or the time are used up, or the limit is another."""
        elapsed = now - self.reserved_at
        if self.made >= self.calls or elapsed >= RESERVED_SECONDS or limit != self.limit:
            return None
        self.made += 1
        return WindowResult(True, limit - self.used_before - self.made, max(0.0, self.reset_seconds - elapsed))

    def next_size(self, now: float) -> int:
        """Calls to ask for next: as many as were made, twice as many when they were used up before their time."""
        used_up = self.made >= self.calls and now - self.reserved_at < RESERVED_SECONDS
        return 2 * self.made if used_up else self.made


class SharedWindow:
    """A window kept in Redis by one script, with reserved calls counted here and a local window as fallback."""

    def __init__(self) -> None:
        self._local = LocalWindow()
        self._lock = threading.Lock()
        self._reservations: dict[str, Reservation] = {}
        self._reserving: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._script: Any = None
        self._unavailable_until = float("-inf")

    def take_reserved(self, bucket: str, limit: int) -> WindowResult | None:
        """Admit or refuse one call without I/O; None when Redis has to be asked."""
        now = clock.monotonic()
        if settings.EMBEDDED or now < self._unavailable_until:
            return self._local.take(bucket, limit)
        with self._lock:
            reservation = self._reservations.get(bucket)
            return None if reservation is None else reservation.take(limit, now)

    def take(self, bucket: str, limit: int) -> WindowResult:
        """Admit or refuse one call."""
        # Callers of one bucket wait for one reservation; a few locks, since buckets come and go.
        with self._reserving[hash(bucket) % 64]:
            reserved = self.take_reserved(bucket, limit)
            return self._reserve(bucket, limit) if reserved is None else reserved

    def clear(self) -> None:
        """Drop the counts of this process."""
        self._local.clear()
        with self._lock:
            self._reservations.clear()
        self._unavailable_until = float("-inf")

    def _reserve(self, bucket: str, limit: int) -> WindowResult:
        """Reserve calls and admit the first, or refuse it."""
        with self._lock:
            last = self._reservations.pop(bucket, None)
        entry, now = clock.new_id().hex, clock.monotonic()
        before, made, wanted = ("", 0, 1) if last is None else (last.entry, last.made, last.next_size(now))
        try:
            given, used, free_in = self._run(bucket, limit, entry, wanted, before, made)
        except (redis.RedisError, OSError):
            self._unavailable_until = clock.monotonic() + REDIS_PAUSE_SECONDS
            return self._local.take(bucket, limit)
        if not given:
            return WindowResult(False, 0, free_in / 1e6)
        # Its time begins before Redis was asked, so it ends here before it ends there.
        reservation = Reservation(f"{entry}:{given}", limit, given, used, now, free_in / 1e6, made=1)
        with self._lock:
            if len(self._reservations) >= MAX_BUCKETS:
                self._reservations.clear()
            self._reservations[bucket] = reservation
        return WindowResult(True, limit - used - 1, reservation.reset_seconds)

    def _run(self, bucket: str, limit: int, entry: str, wanted: int, before: str, made: int) -> Any:
        if self._script is None:
            from django_redis import get_redis_connection

            self._script = get_redis_connection("shared").register_script(SCRIPT)
        window_us, reserved_us = int(WINDOW_SECONDS * 1e6), int(RESERVED_SECONDS * 1e6)
        arguments = [limit, window_us, reserved_us, entry, wanted, before, made, SHARE]
        return self._script(keys=[f"window:{bucket}"], args=arguments)


window = SharedWindow()
"""The rate limiter of this process."""
