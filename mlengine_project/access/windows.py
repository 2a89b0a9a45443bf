"""A sliding window over the last minute, atomic over threads and, with Redis, over processes.

Each admitted call is one entry of a log; a call is admitted while the log holds fewer than the
limit. Refused calls leave no entry, so hammering does not prolong a refusal. When Redis is away
every process counts for itself until it is back.
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
"""How long Redis is left alone after a failure, so that its timeout is not paid at every call."""
MOST_BUCKETS = 10_000
"""Local logs kept; the emptiest go first when an attacker makes up addresses."""

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
class Take:
    """The answer to one call: admitted or not, what is left, and when the oldest entry leaves."""

    admitted: bool
    remaining: int
    reset_seconds: float


class LocalWindow:
    """The same window inside one process, behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[str, deque[float]] = {}

    def take(self, bucket: str, limit: int) -> Take:
        """Admit or refuse one call."""
        now = clock.monotonic()
        with self._lock:
            if len(self._logs) >= MOST_BUCKETS and bucket not in self._logs:
                self._forget_idle(now)
            log = self._logs.setdefault(bucket, deque())
            while log and log[0] <= now - WINDOW_SECONDS:
                log.popleft()
            admitted = len(log) < limit
            if admitted:
                log.append(now)
            reset = log[0] + WINDOW_SECONDS - now if log else 0.0
            return Take(admitted, max(0, limit - len(log)), reset)

    def clear(self) -> None:
        """Forget every log."""
        with self._lock:
            self._logs.clear()

    def _forget_idle(self, now: float) -> None:
        for bucket in [name for name, log in self._logs.items() if not log or log[-1] <= now - WINDOW_SECONDS]:
            del self._logs[bucket]
        while len(self._logs) >= MOST_BUCKETS:
            del self._logs[min(self._logs, key=lambda name: len(self._logs[name]))]


class SharedWindow:
    """The window kept in Redis by one script, with the local one to fall back on."""

    def __init__(self) -> None:
        self._local = LocalWindow()
        self._script: Any = None
        self._away_until = float("-inf")

    def take(self, bucket: str, limit: int) -> Take:
        """Admit or refuse one call."""
        if settings.EMBEDDED or clock.monotonic() < self._away_until:
            return self._local.take(bucket, limit)
        try:
            admitted, used, free_in = self._run(bucket, limit)
        except (redis.RedisError, OSError):
            self._away_until = clock.monotonic() + REDIS_PAUSE_SECONDS
            return self._local.take(bucket, limit)
        return Take(bool(admitted), max(0, limit - used), free_in / 1e6)

    def clear(self) -> None:
        """Forget what this process counted."""
        self._local.clear()
        self._away_until = float("-inf")

    def _run(self, bucket: str, limit: int) -> Any:
        if self._script is None:
            from django_redis import get_redis_connection

            self._script = get_redis_connection("shared").register_script(SCRIPT)
        entry = clock.new_id().hex
        return self._script(keys=[f"window:{bucket}"], args=[limit, int(WINDOW_SECONDS * 1e6), entry])


window = SharedWindow()
"""The one all buckets of this process go through."""
