"""Periodic polling of the exchange's time, limits and trading statuses in a thread."""

import threading
from collections.abc import Callable, Sequence

import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from marketdata import clock
from marketdata.coverage import halts, quarantine
from marketdata.errors import MarketDataError, UnknownSymbol
from marketdata.exchange.rest import RestSession
from marketdata.feed.sockets import SYMBOLS_PER_SOCKET, FeedTimings
from marketdata.models import Market

POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0
STEP_SECONDS = 1.0
"""A difference between the changes of wall and monotonic time from which the system clock counts as set."""

log = structlog.get_logger(__name__)


class ExchangeStatusPoller:
    """Polls the exchange's clock, weight limit and trading statuses.

    It uses a session like all other requests, so it respects bans and the request budget.
    """

    def __init__(self, pace: FeedTimings, on_reading: Callable[[clock.Reading], None]) -> None:
        self.markets: Sequence[Market] = []
        self.is_close_overdue = False
        """Whether a close is overdue: then the trading statuses are polled more often."""
        self._pace, self._on_reading = pace, on_reading
        self._session: RestSession | None = None
        self._rate = 1.0
        self._clock_due_at = self._described_at = float("-inf")
        self._not_before = float("-inf")
        self._wall_ahead: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        period = min(POLL_SECONDS, self._pace.clock_period, self._pace.fast_clock_period)
        while not stop.wait(period):
            self.poll()
        self.close()
        connection.close()

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None

    def poll(self) -> None:
        """Send the requests that are due; after an error they are retried."""
        now = clock.monotonic()
        if not self.markets or now < self._not_before:
            return
        try:
            if now >= self._clock_due_at or self._clock_was_set():
                self._read_clock()
            if now - self._described_at >= self._description_period():
                self._described_at = now
                self._describe()
        except MarketDataError as error:
            log.info("exchange_not_described", reason=str(error)[:200])
            self._not_before = now + min(RETRY_SECONDS, self._pace.clock_period)
        except DatabaseError as error:
            log.info("lookout_waits_for_database", reason=str(error)[:200])
            self._not_before = now + min(RETRY_SECONDS, self._pace.clock_period)
            close_old_connections()

    def _clock_was_set(self) -> bool:
        """Whether the system's clock was set since the last reading, which also shifts market time."""
        return self._wall_ahead is not None and abs(_wall_ahead() - self._wall_ahead) > STEP_SECONDS

    def _read_clock(self) -> None:
        reading = self._open_session().read_clock()
        self._wall_ahead = _wall_ahead()
        self._rate = reading.rate
        self._on_reading(reading)
        period = self._pace.clock_period if reading.rate == 1.0 else self._pace.fast_clock_period
        self._clock_due_at = clock.monotonic() + period

    def _description_period(self) -> float:
        if self.is_close_overdue or any(market.is_halted for market in self.markets):
            return max(self._pace.doubt_period / max(self._rate, 1.0), min(self._pace.doubt_period, 1.0))
        return self._pace.description_period

    def _describe(self) -> None:
        markets = [market for market in self.markets if not quarantine.is_suspended(market)]
        for start in range(0, len(markets), SYMBOLS_PER_SOCKET):
            self._describe_group(markets[start : start + SYMBOLS_PER_SOCKET])

    def _describe_group(self, group: Sequence[Market]) -> None:
        """Poll the statuses of a group; an unknown symbol is found by bisection and suspended.

        The exchange refuses the whole request if one symbol is unknown.
        """
        try:
            halts.record_status(group, self._open_session().describe([market.symbol for market in group]))
        except UnknownSymbol as error:
            if len(group) == 1:
                quarantine.suspend(group[0], str(error))
                return
            middle = len(group) // 2
            self._describe_group(group[:middle])
            self._describe_group(group[middle:])

    def _open_session(self) -> RestSession:
        if self._session is None:
            self._session = RestSession()
        return self._session


def _wall_ahead() -> float:
    """Wall time minus monotonic time, seconds: constant except for slow corrections."""
    return clock.wall_ms() / 1000 - clock.monotonic()
