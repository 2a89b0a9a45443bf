"""Sliding-window rate limiter over one minute, atomic over threads and, with Redis, processes.

Each admitted call is one entry of a log; a call is admitted while the log holds fewer than the
limit. Refused calls leave no entry, so repeated calls do not prolong a refusal. While Redis is
unavailable every process counts for itself.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings

from marketdata import clock

WINDOW_SECONDS = 60.0
REDIS_PAUSE_SECONDS = 5.0
"""Pause after a failure of Redis, so that its timeout is not paid at every call."""
MAX_BUCKETS = 10_000
"""Maximum number of local logs; the shortest are dropped first when an attacker invents addresses."""

SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local start = now - tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', start)
local used = redis.call('ZCARD', KEYS[1])
local admitted = 0
if used < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) / 1000))
  used = used + 1
  admitted = 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local free_in = 0
if oldest[2] then free_in = tonumber(oldest[2]) - start end
return {admitted, used, free_in}
"""


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


class SharedWindow:
    """A window kept in Redis by one script, with a local window as fallback."""

    def __init__(self) -> None:
        self._local = LocalWindow()
        self._script: Any = None
        self._unavailable_until = float("-inf")

    def take(self, bucket: str, limit: int) -> WindowResult:
        """Admit or refuse one call."""
        if settings.EMBEDDED or clock.monotonic() < self._unavailable_until:
            return self._local.take(bucket, limit)
        try:
            admitted, used, free_in = self._run(bucket, limit)
        except (redis.RedisError, OSError):
            self._unavailable_until = clock.monotonic() + REDIS_PAUSE_SECONDS
            return self._local.take(bucket, limit)
        return WindowResult(bool(admitted), max(0, limit - used), free_in / 1e6)

    def clear(self) -> None:
        """Drop the counts of this process."""
        self._local.clear()
        self._unavailable_until = float("-inf")

    def _run(self, bucket: str, limit: int) -> Any:
        if self._script is None:
            from django_redis import get_redis_connection

            self._script = get_redis_connection("shared").register_script(SCRIPT)
        entry = clock.new_id().hex
        return self._script(keys=[f"window:{bucket}"], args=[limit, int(WINDOW_SECONDS * 1e6), entry])


window = SharedWindow()
"""The rate limiter of this process."""
