"""The exchange's limits on one address: request weight a minute, silence it asks for, sockets opened."""

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
    """The figures the exchange documents; wall time, since a client lives in it."""

    weight_per_minute: int = 6000
    # How many requests after a 429, in the same minute, make a ban of it.
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
    """What a request is told: its minute's used weight and, if it is refused, a status and when to come back."""

    used_weight: int
    status: int = 200
    retry_after_seconds: int = 0
    until_ms: int = 0


class WeightMeter:
    """Counts request weight in wall minutes and turns excess into 429, and ignored 429 into 418."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.highest_used = 0
        self.refused = 0
        self.impolite = 0
        """Requests that came although silence had been asked for."""
        self._minute = -1
        self._used = 0
        self._warnings = 0
        self._bans = 0
        self._banned_until_ms = self._silent_until_ms = 0
        self._lock = threading.Lock()

    def charge(self, weight: int) -> Verdict:
        """Count one request."""
        now_ms = clock.wall_ms()
        with self._lock:
            if now_ms // MINUTE_MS != self._minute:
                self._minute, self._used, self._warnings = now_ms // MINUTE_MS, 0, 0
            self.impolite += now_ms < self._silent_until_ms
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

    def expect_silence(self, until_ms: int) -> None:
        """Count from now on who asks although he was told to wait until then."""
        with self._lock:
            self._silent_until_ms = max(self._silent_until_ms, until_ms)

    def _ban(self, now_ms: int) -> int:
        seconds = min(self.limits.ban_seconds * 2**self._bans, self.limits.longest_ban_seconds)
        self._bans += 1
        self._banned_until_ms = now_ms + int(seconds * 1000)
        return self._banned_until_ms

    def _refuse(self, status: int, until_ms: int, now_ms: int) -> Verdict:
        self.refused += 1
        self._silent_until_ms = max(self._silent_until_ms, until_ms)
        log.warning("request refused", status=status, used_weight=self._used, until_ms=until_ms)
        return Verdict(self._used, status, -(-(until_ms - now_ms) // 1000), until_ms)


class RateGate:
    """Lets at most `count` events through in any stretch of `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._passed: deque[float] = deque()

    def admit(self) -> bool:
        """Count one event, if there is room for it."""
        now = clock.monotonic()
        while self._passed and now - self._passed[0] >= self._seconds:
            self._passed.popleft()
        if len(self._passed) >= self._count:
            return False
        self._passed.append(now)
        return True
