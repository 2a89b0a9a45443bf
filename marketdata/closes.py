"""Which candles have closed, and which are believed: by the market's clock, never by what a row says of itself.

The clock of a market is that of the exchange its candles come from. A reading of a simulator says nothing of real
markets, and the other way round: without a reading of its own exchange a market lives by wall time.
"""

from collections.abc import Callable

from marketdata import clock
from marketdata.exchange import is_loopback
from marketdata.intervals import INTERVAL_MS, last_closed_open
from marketdata.models import Candle, Source
from marketdata.parsing import LATEST_MS

TOLERANCE_MS = 5_000
"""Wall time to which an exchange's clock is known between two readings; a faster market moves on so much more."""
OFFLINE_TOLERANCE_MS = 1_000
"""How far wall time may be behind where no exchange was ever read."""
SHOWN_AFTER_MS = 2 * INTERVAL_MS
"""A candle of a file is followed unconfirmed once it closed so long ago: no answer to it is valid any more."""
ANSWERED_AFTER_MS = 288 * INTERVAL_MS
"""For so long a candle of a file waits for its exchange before it is given a signal, then a late hold."""


def clock_of(source: str) -> clock.Reading | None:
    """Give the reading of the exchange a source's candles come from; None if it was never read."""
    reading = clock.current_reading()
    if reading is None or not reading.base_url:
        return reading
    read = Source.SIMULATED if is_loopback(reading.base_url) else Source.EXCHANGE
    return reading if read == source else None


def now_of(source: str) -> int:
    """Time of a source's markets, ms since 1970."""
    reading, now = clock_of(source), clock.wall_ms()
    return now if reading is None else reading.at(now)


def last_open_to_import(source: str) -> int:
    """Open of the newest candle a file may bring: it has closed by its market's clock."""
    return last_closed_open(now_of(source) + (OFFLINE_TOLERANCE_MS if clock_of(source) is None else 0))


def last_open_to_follow(source: str) -> int:
    """Open of the newest candle anything follows; what is stored beyond it comes from the future."""
    reading = clock_of(source)
    return last_closed_open(now_of(source) + round(TOLERANCE_MS * max(1.0, 1.0 if reading is None else reading.rate)))


def latest_open() -> int:
    """Open of the newest candle followed in any market; a row of a log beyond it speaks of a time that has not come."""
    return max(last_open_to_follow(source) for source in Source)


def first_open_to_confirm(source: str, after_ms: int) -> int:
    """Open from which on a candle of a file waits for the exchange to confirm it; beyond all where none was read."""
    reading = clock_of(source)
    if reading is None or not reading.base_url:
        return LATEST_MS
    return now_of(source) - after_ms - INTERVAL_MS


def describe_clock(source: str) -> str:
    """Name the clock of a source and what it says, for a refusal."""
    reading = clock_of(source)
    name = "wall time, no exchange was ever read," if reading is None else "the market's clock"
    return f"{name} says {clock.to_datetime(now_of(source)):%Y-%m-%d %H:%M:%S} UTC"


def believed(candle: str, is_real: str, after_ms: int) -> str:
    """SQL condition on a candle: closed by its market's clock and, where of a file and newer than that, confirmed.

    `is_real` is the condition under which its market is one of the exchange, not a simulated one.
    """
    followed = _by_source(is_real, last_open_to_follow)
    confirmed = _by_source(is_real, lambda source: first_open_to_confirm(source, after_ms))
    return (
        f"({candle}.open_time <= {followed} "
        f"AND ({candle}.origin <> '{Candle.Origin.IMPORT.value}' OR {candle}.open_time < {confirmed}))"
    )


def _by_source(is_real: str, bound: Callable[[str], int]) -> str:
    real, simulated = (bound(source) for source in (Source.EXCHANGE, Source.SIMULATED))
    return str(real) if real == simulated else f"CASE WHEN {is_real} THEN {real} ELSE {simulated} END"
