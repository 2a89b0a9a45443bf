"""Which of the exchange's documented hosts to ask: the configured one, and the others of its family while it rests.

Hosts of a family serve the same candles under one limit per address, so a ban is never a reason to go to
another one; not answering is. An address outside the families (a simulator, a proxy) stands alone.
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
REST_SECONDS = 60.0
"""A host that did not answer is left alone for so long, a failed look-up of its name included."""
MOST_A_CALL = 3
_resting: dict[str, float] = {}


def awake(url: str) -> list[str]:
    """Hosts to try in turn for a configured URL: those not resting first, at most `MOST_A_CALL`, never none.

    Examples
    --------
    >>> wake_all()
    >>> awake("http://127.0.0.1:9000")
    ['http://127.0.0.1:9000']
    >>> awake("https://api.binance.com")[1]
    'https://api1.binance.com'
    """
    family = next((hosts for hosts in FAMILIES if url in hosts), (url,))
    in_order = [url, *(host for host in family if host != url)]
    now = clock.monotonic()
    return sorted(in_order, key=lambda host: _resting.get(host, 0.0) > now)[:MOST_A_CALL]


def let_rest(host: str) -> None:
    """Note that a host did not answer."""
    _resting[host] = clock.monotonic() + REST_SECONDS


def wake_all() -> None:
    """Forget which hosts did not answer."""
    _resting.clear()
