"""Which candles have closed by their market's clock, and which are confirmed.

The clock of a market is that of the exchange its candles come from. A reading of a simulator does not apply to real
markets, nor the other way round: without a reading of its own exchange a market uses wall time.
"""

from collections.abc import Callable

from marketdata import clock
from marketdata.exchange.client import is_loopback
from marketdata.exchange.parsing import LATEST_MS
from marketdata.intervals import INTERVAL_MS, last_closed_open
from marketdata.models import Candle, Source

TOLERANCE_MS = 5_000
"""Uncertainty of an exchange's clock between two readings, in wall time; it is multiplied by the market's rate."""
OFFLINE_TOLERANCE_MS = 1_000
"""How far wall time may be behind if no exchange was ever read."""
SHOW_UNCONFIRMED_AFTER_MS = 2 * INTERVAL_MS
"""Age from which an unconfirmed candle of a file counts: no prediction for it is valid any more."""
SIGNAL_UNCONFIRMED_AFTER_MS = 288 * INTERVAL_MS
"""How long a candle of a file waits for confirmation by its exchange before it gets a signal, a late hold."""


def clock_of(source: str) -> clock.Reading | None:
    """The clock reading of a source's exchange; None if it was never read."""
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
    """Open of the newest candle a file may contain, closed by its market's clock."""
    return last_closed_open(now_of(source) + (OFFLINE_TOLERANCE_MS if clock_of(source) is None else 0))


def last_open_to_follow(source: str) -> int:
    """Open of the newest candle that is used; later rows lie in the future."""
    reading = clock_of(source)
    return last_closed_open(now_of(source) + round(TOLERANCE_MS * max(1.0, 1.0 if reading is None else reading.rate)))


def latest_open() -> int:
    """Open of the newest candle used in any market; later log rows lie in the future."""
    return max(last_open_to_follow(source) for source in Source)


def first_open_to_confirm(source: str, after_ms: int) -> int:
    """Open from which on a candle of a file needs confirmation by the exchange.

    It lies beyond all candles if no exchange was read.
    """
    reading = clock_of(source)
    if reading is None or not reading.base_url:
        return LATEST_MS
    return now_of(source) - after_ms - INTERVAL_MS


def describe_clock(source: str) -> str:
    """Name and time of a source's clock as text for an error message."""
    reading = clock_of(source)
    name = "wall time (no exchange was ever read)" if reading is None else "the market's time"
    return f"{name} is {clock.to_datetime(now_of(source)):%Y-%m-%d %H:%M:%S} UTC"


def confirmed_sql(candle: str, is_real: str, after_ms: int) -> str:
    """SQL condition that a candle has closed by its market's clock and is confirmed.

    Only candles of files need confirmation, and only while they are newer than `after_ms`. `is_real` is the condition
    under which its market is one of the exchange, not a simulated one.
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
