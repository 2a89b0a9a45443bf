"""Parsing of instants on the command line."""

import argparse
from datetime import UTC, datetime

from marketdata import clock
from marketdata.exchange.parsing import EARLIEST_MS, LATEST_MS


def instant(text: str) -> int:
    """Milliseconds from ISO 8601 (UTC unless it names a zone) or from milliseconds.

    Examples
    --------
    >>> instant("2022-08-01"), instant("1659312000000")
    (1659312000000, 1659312000000)
    """
    try:
        if text.isascii() and text.isdigit():
            parsed = int(text)
        else:
            moment = datetime.fromisoformat(text)
            parsed = clock.to_ms(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
    except (ValueError, OverflowError):
        parsed = -1
    if not EARLIEST_MS <= parsed <= LATEST_MS:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 2017 to 2100; write 2024-03-01 or milliseconds")
    return parsed
