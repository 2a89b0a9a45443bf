"""The single source of time: wall time for timeouts and stamps, market time for candles.

Market time is the exchange's own clock, extrapolated from the newest reading in `ExchangeState`. Without a reading
it equals wall time. Nothing here raises or blocks a caller on the database for long: a reading that cannot be
refreshed is used as it was.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from marketdata.randomness import new_id

__all__ = ["new_id"]

REFRESH_SECONDS = 1.0
"""Maximum age of a process's copy of the shared reading."""
READING_COLUMNS = ("clock_wall_ms", "clock_market_ms", "clock_rate", "base_url")
NEAR_ONE = 0.02
"""A measured rate this close to 1 is network jitter and counts as 1."""
MAX_EXTRAPOLATION_MS = 600_000
"""Maximum wall time by which a reading of a simulated clock is extrapolated."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reading:
    """Exchange time `market_ms` read at wall time `wall_ms`, running `rate` times as fast."""

    wall_ms: int
    market_ms: int
    rate: float = 1.0
    base_url: str = ""

    def at(self, wall_ms: int) -> int:
        """Exchange time at another instant of wall time.

        Examples
        --------
        >>> Reading(1_000, 5_000, 12.0).at(2_000)
        17000
        """
        elapsed = wall_ms - self.wall_ms
        if self.rate != 1.0:
            elapsed = max(-MAX_EXTRAPOLATION_MS, min(elapsed, MAX_EXTRAPOLATION_MS))
        return self.market_ms + round(elapsed * self.rate)


class Clock(Protocol):
    """Interface of a clock."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def reading(self) -> Reading | None:
        """The market clock to use, or None for the shared reading."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def reading(self) -> Reading | None:
        """Use the shared reading."""
        return None

    def sleep(self, seconds: float) -> None:
        """Block for that many seconds."""
        time.sleep(seconds)


class FrozenClock:
    """A clock that moves only when advanced, for tests and simulations.

    Examples
    --------
    >>> with use(FrozenClock(1_700_000_000_000)) as frozen:
    ...     frozen.advance(2.5)
    ...     wall_ms(), market_ms()
    (1700000002500, 1700000002500)
    """

    def __init__(self, now_ms: int, market_ms: int | None = None, rate: float = 1.0) -> None:
        self.now_ms = now_ms
        self._market = Reading(now_ms, now_ms if market_ms is None else market_ms, rate)

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return self.now_ms

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self.now_ms / 1000

    def reading(self) -> Reading | None:
        """Its own market clock, independent of the database."""
        return self._market

    def advance(self, seconds: float) -> None:
        """Advance by that many seconds."""
        self.now_ms += round(seconds * 1000)

    sleep = advance


class _Port:
    """The clock in use and the process's copy of the shared reading."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.lock = threading.Lock()
        self.shared: Reading | None = None
        self.read_at = float("-inf")


_port = _Port()


@contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Use another clock inside the block, in all threads of this process."""
    before, _port.clock = _port.clock, clock
    clear_cached_reading()
    try:
        yield clock
    finally:
        _port.clock = before
        clear_cached_reading()


def clear_cached_reading() -> None:
    """Drop the process's copy of the shared reading, so that it is read again."""
    with _port.lock:
        _port.shared, _port.read_at = None, float("-inf")


def wall_ms() -> int:
    """Wall time, milliseconds since 1970."""
    return _port.clock.wall_ms()


def wall_now() -> datetime:
    """Wall time, aware UTC."""
    return to_datetime(wall_ms())


def monotonic() -> float:
    """Seconds for timeouts; only differences are meaningful."""
    return _port.clock.monotonic()


def sleep(seconds: float) -> None:
    """Wait in a thread; never in an event loop."""
    _port.clock.sleep(seconds)


def market_ms() -> int:
    """Exchange time, milliseconds since 1970; wall time while no exchange was ever read."""
    reading = current_reading()
    now = wall_ms()
    return now if reading is None else reading.at(now)


def market_now() -> datetime:
    """Exchange time, aware UTC."""
    return to_datetime(market_ms())


def market_rate() -> float:
    """Exchange seconds per wall second: 1 except in simulation."""
    reading = current_reading()
    return 1.0 if reading is None else reading.rate


def wall_seconds(market_seconds: float) -> float:
    """Wall seconds of a stretch of market time."""
    return market_seconds / max(market_rate(), 1e-6)


def to_datetime(milliseconds: int) -> datetime:
    """Aware UTC from milliseconds, exactly.

    Examples
    --------
    >>> to_datetime(1_659_312_000_000).isoformat()
    '2022-08-01T00:00:00+00:00'
    """
    return EPOCH + timedelta(milliseconds=int(milliseconds))


def iso(instant: datetime) -> str:
    """Format an instant in UTC with a Z; microseconds only if not zero.

    >>> iso(datetime(2024, 1, 1, 12, 5, tzinfo=UTC)), iso(to_datetime(1))
    ('2024-01-01T12:05:00Z', '1970-01-01T00:00:00.001000Z')
    """
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_ms(instant: datetime) -> int:
    """Milliseconds from an aware instant, rounded down.

    Examples
    --------
    >>> to_ms(datetime(2022, 8, 1, tzinfo=UTC))
    1659312000000
    """
    return (instant - EPOCH) // timedelta(milliseconds=1)


def measured_rate(first: Reading, second: Reading) -> float:
    """Exchange seconds per wall second between two readings.

    Examples
    --------
    >>> measured_rate(Reading(0, 0), Reading(1_000, 1_004))
    1.0
    >>> measured_rate(Reading(0, 0), Reading(1_000, 12_000))
    12.0
    """
    elapsed = second.wall_ms - first.wall_ms
    if elapsed <= 0:
        return first.rate
    rate = (second.market_ms - first.market_ms) / elapsed
    return 1.0 if abs(rate - 1) <= NEAR_ONE or rate < 0 else rate


def record_reading(reading: Reading) -> None:
    """Share a reading of the exchange's clock with all processes and use it here."""
    from django.db import connection

    from marketdata.models import ExchangeState

    with _port.lock:
        _port.shared, _port.read_at = reading, monotonic()
    values = (reading.wall_ms, reading.market_ms, reading.rate, reading.base_url[:200])
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE exchange_state SET {' = %s, '.join(READING_COLUMNS)} = %s WHERE id = 1", values)  # noqa: S608
        if not cursor.rowcount:
            ExchangeState.objects.update_or_create(pk=1, defaults=dict(zip(READING_COLUMNS, values, strict=True)))


def current_reading() -> Reading | None:
    """The reading in use, refreshed from the database at most once a second."""
    own = _port.clock.reading()
    if own is not None:
        return own
    now = monotonic()
    with _port.lock:
        if now - _port.read_at < REFRESH_SECONDS:
            return _port.shared
        _port.read_at = now
    if _inside_event_loop():
        threading.Thread(target=_refresh_and_close, daemon=True, name="clock-reading").start()
    else:
        _refresh()
    return _port.shared


def _inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refresh() -> None:
    """Copy the shared row; on any error the existing copy stays."""
    try:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(READING_COLUMNS)} FROM exchange_state WHERE id = 1")  # noqa: S608
            row = cursor.fetchone()
    except Exception:  # noqa: BLE001  # time must be available while the database is down
        return
    if row is not None and row[0] is not None and row[1] is not None:
        with _port.lock:
            _port.shared = Reading(row[0], row[1], row[2], row[3])


def _refresh_and_close() -> None:
    from django.db import connection

    _refresh()
    connection.close()
