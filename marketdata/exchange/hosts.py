"""Choice of the exchange's host: the configured one, or equivalents if it fails.

Hosts of a family serve the same candles under one limit per address, so another one is used only when a host does not
respond, never after a ban. A host outside the families (a simulator, a proxy) has no alternatives.
"""

from collections.abc import Sequence

from marketdata import clock
from marketdata.process_state import process_state

REST = (
    "https://api.binance.com",
    *(f"https://api{number}.binance.com" for number in range(1, 5)),
    "https://data-api.binance.vision",
)
STREAMS = (
    "wss://stream.binance.com:9443",
    "wss://stream.binance.com:443",
    "wss://data-stream.binance.vision",
)
FAMILIES: list[Sequence[str]] = [REST, STREAMS]
COOL_DOWN_SECONDS = 60.0
"""How long a host that did not respond is avoided, a failed name look-up included."""
MAX_HOSTS_PER_CALL = 3


class CoolDowns(dict[str, float]):
    """Monotonic time until which a host that did not respond is avoided."""


def available(url: str) -> list[str]:
    """Hosts to try in order for a configured URL, those not cooling down first.

    There are at most `MAX_HOSTS_PER_CALL` and at least one.

    Examples
    --------
    >>> available("http://127.0.0.1:9000")
    ['http://127.0.0.1:9000']
    >>> available("https://api.binance.com")[1]
    'https://api1.binance.com'
    """
    family = next((hosts for hosts in FAMILIES if url in hosts), (url,))
    in_order = [url, *(host for host in family if host != url)]
    now, available_at = clock.monotonic(), process_state.of(CoolDowns)
    return sorted(in_order, key=lambda host: available_at.get(host, 0.0) > now)[:MAX_HOSTS_PER_CALL]


def cool_down(host: str) -> None:
    """Avoid a host that did not respond for a while."""
    process_state.of(CoolDowns)[host] = clock.monotonic() + COOL_DOWN_SECONDS
