"""What the exchange says of itself, asked now and then: its time, its limits, and who trades. A thread of its own."""

import threading
from collections.abc import Callable, Sequence

import structlog
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connection

from marketdata import clock, halts, quarantine
from marketdata.errors import MarketDataError, UnknownSymbol
from marketdata.models import Market
from marketdata.rest import RestLine
from marketdata.sockets import GROUP, Pace

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 5.0
STEP_SECONDS = 1.0
"""Wall time that moved this much more or less than monotonic time was set by somebody."""

log = structlog.get_logger(__name__)


class Lookout:
    """Asks through a line like everybody else, so it is silent when everybody must be.

    Parameters
    ----------
    pace : Pace
        How often what is asked.
    on_reading : callable
        Told every new reading of the exchange's clock.
    """

    def __init__(self, pace: Pace, on_reading: Callable[[clock.Reading], None]) -> None:
        self.markets: Sequence[Market] = []
        self.in_doubt = False
        """Whether somebody waits in vain for a close: then it is asked sooner who trades."""
        self._pace, self._on_reading = pace, on_reading
        self._line: RestLine | None = None
        self._rate = 1.0
        self._clock_due_at = self._described_at = float("-inf")
        self._not_before = float("-inf")
        self._wall_ahead: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        period = min(LOOK_SECONDS, self._pace.clock_period, self._pace.fast_clock_period)
        while not stop.wait(period):
            self.turn()
        self.close()
        connection.close()

    def close(self) -> None:
        """Give the line back."""
        if self._line is not None:
            self._line.__exit__(None, None, None)
            self._line = None

    def turn(self) -> None:
        """Ask what is due; whatever goes wrong, it is asked again."""
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
            self._not_before = now + min(AGAIN_SECONDS, self._pace.clock_period)
        except DatabaseTrouble as error:
            log.info("lookout_waits_for_database", reason=str(error)[:200])
            self._not_before = now + min(AGAIN_SECONDS, self._pace.clock_period)
            close_old_connections()

    def _clock_was_set(self) -> bool:
        """Whether the system's clock stepped since the last reading: market time stepped with it."""
        return self._wall_ahead is not None and abs(_wall_ahead() - self._wall_ahead) > STEP_SECONDS

    def _read_clock(self) -> None:
        reading = self._open_line().read_clock()
        self._wall_ahead = _wall_ahead()
        self._rate = reading.rate
        self._on_reading(reading)
        period = self._pace.clock_period if reading.rate == 1.0 else self._pace.fast_clock_period
        self._clock_due_at = clock.monotonic() + period

    def _description_period(self) -> float:
        if self.in_doubt or any(market.is_halted for market in self.markets):
            return max(self._pace.doubt_period / max(self._rate, 1.0), min(self._pace.doubt_period, 1.0))
        return self._pace.description_period

    def _describe(self) -> None:
        markets = [market for market in self.markets if not quarantine.is_set_aside(market)]
        for start in range(0, len(markets), GROUP):
            self._describe_group(markets[start : start + GROUP])

    def _describe_group(self, group: Sequence[Market]) -> None:
        """One unknown symbol has the exchange refuse all of them: halves find it, and it alone is set aside."""
        try:
            halts.note(group, self._open_line().describe([market.symbol for market in group]))
        except UnknownSymbol as error:
            if len(group) == 1:
                quarantine.set_aside(group[0], str(error))
                return
            middle = len(group) // 2
            self._describe_group(group[:middle])
            self._describe_group(group[middle:])

    def _open_line(self) -> RestLine:
        if self._line is None:
            self._line = RestLine()
        return self._line


def _wall_ahead() -> float:
    """Wall time minus monotonic time, seconds: constant but for slow corrections."""
    return clock.wall_ms() / 1000 - clock.monotonic()
