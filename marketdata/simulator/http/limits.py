"""The exchange's limits per address: request weight per minute, bans, new connections."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import structlog

from marketdata import clock

log = structlog.get_logger(__name__)

WEIGHTS = {"ping": 1, "time": 1, "exchangeInfo": 20, "klines": 2, "uiKlines": 2}
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Limits:
    """The documented limits of the exchange, in wall time."""

    weight_per_minute: int = 6000
    # Number of refused requests in the same minute after which a ban follows.
    warnings_before_ban: int = 10
    ban_seconds: float = 120.0
    longest_ban_seconds: float = 3 * 86_400.0
    connections_per_five_minutes: int = 300
    streams_per_connection: int = 1024
    messages_per_second: int = 5
    ping_seconds: float = 20.0
    pong_seconds: float = 60.0
    connection_seconds: float = 86_400.0


@dataclass(frozen=True)
class Verdict:
    """Result of counting a request: used weight and, if refused, status and time to wait."""

    used_weight: int
    status: int = 200
    retry_after_seconds: int = 0
    until_ms: int = 0


class WeightMeter:
    """Counts request weight per wall minute; excess gives 429, continued requests 418."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.highest_used = 0
        self.refused = 0
        self.violations = 0
        """Number of requests sent although the server had asked the client to wait."""
        self._minute = -1
        self._used = 0
        self._warnings = 0
        self._bans = 0
        self._banned_until_ms = self._retry_after_ms = 0
        self._lock = threading.Lock()

    def charge(self, weight: int) -> Verdict:
        """Count one request."""
        now_ms = clock.wall_ms()
        with self._lock:
            if now_ms // MINUTE_MS != self._minute:
                self._minute, self._used, self._warnings = now_ms // MINUTE_MS, 0, 0
            self.violations += now_ms < self._retry_after_ms
            if now_ms < self._banned_until_ms:
                return self._refuse(418, self._banned_until_ms, now_ms)
            self._used += weight
            self.highest_used = max(self.highest_used, self._used)
            if self._used <= self.limits.weight_per_minute:
                return Verdict(self._used)
            self._warnings += 1
            if self._warnings <= self.limits.warnings_before_ban:
                return self._refuse(429, (self._minute + 1) * MINUTE_MS, now_ms)
            return self._refuse(418, self._ban(now_ms), now_ms)

    def ban(self, seconds: float) -> None:
        """Ban the address from now on."""
        with self._lock:
            self._banned_until_ms = clock.wall_ms() + int(seconds * 1000)

    def count_violations_until(self, until_ms: int) -> None:
        """Count requests before `until_ms` as violations of Retry-After."""
        with self._lock:
            self._retry_after_ms = max(self._retry_after_ms, until_ms)

    def _ban(self, now_ms: int) -> int:
        seconds = min(self.limits.ban_seconds * 2**self._bans, self.limits.longest_ban_seconds)
        self._bans += 1
        self._banned_until_ms = now_ms + int(seconds * 1000)
        return self._banned_until_ms

    def _refuse(self, status: int, until_ms: int, now_ms: int) -> Verdict:
        self.refused += 1
        self._retry_after_ms = max(self._retry_after_ms, until_ms)
        log.warning("request refused", status=status, used_weight=self._used, until_ms=until_ms)
        return Verdict(self._used, status, -(-(until_ms - now_ms) // 1000), until_ms)


class RateLimiter:
    """Admits at most `count` events in any period of `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._passed: deque[float] = deque()

    def admit(self) -> bool:
        """Count one event and return True, unless the limit is reached."""
        now = clock.monotonic()
        while self._passed and now - self._passed[0] >= self._seconds:
            self._passed.popleft()
        if len(self._passed) >= self._count:
            return False
        self._passed.append(now)
        return True
