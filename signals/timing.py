"""Timing of `advance`: a few seconds after a close in market time."""

from marketdata import clock
from marketdata.intervals import INTERVAL_MS

GRACE_MS = 3_000
"""Delay after the close before the REST response of the exchange is final."""
NEAR_MS = 45_000
"""A close within this time is waited for; the beat runs once a minute."""


def seconds_until_advance() -> float:
    """Wall seconds until `GRACE_MS` after the nearest close; 0 if none is near.

    At other than real speed the stream calls `advance` and the beat only sweeps: 0.
    """
    if clock.market_rate() != 1.0:
        return 0.0
    since_close = clock.market_ms() % INTERVAL_MS
    until_next = INTERVAL_MS - since_close
    if until_next <= NEAR_MS:
        return (until_next + GRACE_MS) / 1000
    return max(0.0, (GRACE_MS - since_close) / 1000)
