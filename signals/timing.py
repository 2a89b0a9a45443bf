"""When to advance: a few seconds after a close in market time."""

from marketdata import clock
from marketdata.intervals import INTERVAL_MS

GRACE_MS = 3_000
"""The exchange needs a moment after the close before its REST answer is final."""
NEAR_MS = 45_000
"""A close this near is waited for; the beat comes once a minute."""


def seconds_until_advance() -> float:
    """Wall seconds from now until the grace after the nearest close has passed; 0 when none is near.

    At other than real speed the stream drives and the beat only sweeps, so the answer is 0.
    """
    if clock.market_rate() != 1.0:
        return 0.0
    since_close = clock.market_ms() % INTERVAL_MS
    until_next = INTERVAL_MS - since_close
    if until_next <= NEAR_MS:
        return (until_next + GRACE_MS) / 1000
    return max(0.0, (GRACE_MS - since_close) / 1000)
