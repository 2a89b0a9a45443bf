"""Choice of the exchange's host: the configured one, or equivalents if it fails.

Hosts of a family serve the same candles under one limit per address, so another one is used only when a host does not
respond, never after a ban. A host outside the families (a simulator, a proxy) has no alternatives.
"""

from collections.abc import Sequence

from marketdata import clock

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
_available_at: dict[str, float] = {}


def available(url: str) -> list[str]:
    """Hosts to try in order for a configured URL, those not cooling down first.

    There are at most `MAX_HOSTS_PER_CALL` and at least one.

    Examples
    --------
    >>> reset()
    >>> available("http://127.0.0.1:9000")
    ['http://127.0.0.1:9000']
    >>> available("https://api.binance.com")[1]
    'https://api1.binance.com'
    """
    family = next((hosts for hosts in FAMILIES if url in hosts), (url,))
    in_order = [url, *(host for host in family if host != url)]
    now = clock.monotonic()
    return sorted(in_order, key=lambda host: _available_at.get(host, 0.0) > now)[:MAX_HOSTS_PER_CALL]


def cool_down(host: str) -> None:
    """Avoid a host that did not respond for a while."""
    _available_at[host] = clock.monotonic() + COOL_DOWN_SECONDS


def reset() -> None:
    """End the cool-down of all hosts."""
    _available_at.clear()
