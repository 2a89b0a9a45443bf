"""How long a prediction or signal is valid. Pure."""

from marketdata.intervals import INTERVAL_MS

VALIDITY_MS = 2 * INTERVAL_MS + 15_000
"""Validity from the candle's open: to the close of the next one plus 15 s."""


def valid_until_ms(open_ms: int) -> int:
    """Market time in ms until which a prediction or signal of this candle is valid.

    >>> valid_until_ms(0)
    615000
    """
    return open_ms + VALIDITY_MS
