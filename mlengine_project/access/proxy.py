"""ASGI middleware that accepts forwarded headers only from the proxies in TRUSTED_PROXY.

They are removed from every request, so that a client cannot send them itself; scheme and client reported by a
trusted proxy replace those of the connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Protocol

from django.conf import settings

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Network = IPv4Network | IPv6Network
FORWARDED = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"}
)
UNIX_SOCKET = "unix"
"""In TRUSTED_PROXY: every process that can open the unix socket the server listens on."""
SECURE = {"http": False, "ws": False, "https": True, "wss": True}
"""What X-Forwarded-Proto may hold; some proxies write the websocket's own scheme."""
UNKNOWN = "unknown"


class AnswersWithoutTask(Protocol):
    """An application that answers some complete requests without a task of their own."""

    def answer_now(self, scope: dict[str, Any], body: bytes) -> Any:
        """The answer if it is ready; None for any other request."""

    def answer_soon(self, scope: dict[str, Any], body: bytes, deliver: Callable[[Callable[[], Any]], None]) -> bool:
        """Whether the answer is being computed; `deliver` is then called once with a function that finishes it."""


class TrustedProxy:
    """The outermost ASGI middleware."""

    def __init__(self, application: Application, without_task: AnswersWithoutTask | None = None) -> None:
        self.application, self.without_task = application, without_task

    def answer_now(self, scope: dict[str, Any], body: bytes) -> Any:
        """Answer of the application to a complete request, where it needs no task; None for any other."""
        return None if self.without_task is None else self.without_task.answer_now(trusted_scope(scope), body)

    def answer_soon(self, scope: dict[str, Any], body: bytes, deliver: Callable[[Callable[[], Any]], None]) -> bool:
        """Whether the application computes the answer and will deliver it."""
        return self.without_task is not None and self.without_task.answer_soon(trusted_scope(scope), body, deliver)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Rewrite the scope of a request; pass other scopes on unchanged."""
        if scope["type"] in {"http", "websocket"}:
            scope = trusted_scope(scope)
        await self.application(scope, receive, send)


def trusted_scope(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope by the proxies in TRUSTED_PROXY."""
    if FORWARDED.isdisjoint([name for name, _ in scope.get("headers", [])]):
        return scope
    networks = trusted_networks(tuple(settings.TRUSTED_PROXY))
    return rewritten(scope, networks, trust_socket=UNIX_SOCKET in settings.TRUSTED_PROXY)


@lru_cache(maxsize=8)
def trusted_networks(given: tuple[str, ...]) -> list[Network]:
    """The networks of TRUSTED_PROXY; invalid ones are reported by the system checks."""
    networks = []
    for text in given:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return networks


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address with or without brackets and port; mapped IPv4 becomes IPv4.

    >>> address_in("[2001:db8::1]:443"), address_in("::ffff:10.0.0.1"), address_in("1.2.3.4:5678"), address_in("_x")
    (IPv6Address('2001:db8::1'), IPv4Address('10.0.0.1'), IPv4Address('1.2.3.4'), None)
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def network_of(address: str | None) -> str:
    """The network that limits by address count: one IPv4 address, or the /64 of an IPv6 subscriber.

    >>> network_of("203.0.113.5"), network_of("2001:db8:1:2:a:b:c:d"), network_of(None)
    ('203.0.113.5', '2001:db8:1:2::/64', 'unknown')
    """
    found = address_in(address or "")
    if found is None:
        return UNKNOWN
    return str(found) if isinstance(found, IPv4Address) else str(IPv6Network((int(found) >> 64 << 64, 64)))


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address belongs to one of the networks, mapped IPv4 included."""
    found = address_in(address)
    if found is None:
        return False
    forms = [found, ip_address(f"::ffff:{found}")] if isinstance(found, IPv4Address) else [found]
    return any(form in network for form in forms for network in networks)


def is_trusted(scope: dict[str, Any], networks: Sequence[Network], trust_socket: bool) -> bool:
    """Whether the other end of the connection is a trusted proxy."""
    client, server = scope.get("client"), scope.get("server")
    if client:
        return is_within(client[0], networks)
    # A TCP connection closed at once has no client address either; only a unix socket has no port.
    return trust_socket and server is not None and server[1] is None


def client_of(hops: list[str], networks: Sequence[Network]) -> tuple[str | None, int]:
    """The nearest hop that is not a trusted proxy, and its index from the right; entries left of it are untrusted."""
    found, place = None, 0
    for hop in reversed(hops):
        address = address_in(hop)
        if address is None:
            break
        found, place = str(address), place + 1
        if not is_within(found, networks):
            break
    return found, place


def rewritten(scope: dict[str, Any], networks: Sequence[Network], trust_socket: bool = False) -> dict[str, Any]:
    """The scope with scheme and client of the outermost trusted proxy, without forwarded headers."""
    headers = scope.get("headers", [])
    if FORWARDED.isdisjoint([name for name, _ in headers]):
        return scope
    changed = {**scope, "headers": [(name, value) for name, value in headers if name not in FORWARDED]}
    if is_trusted(scope, networks, trust_socket):
        hops, schemes = entries_of(headers, b"x-forwarded-for"), entries_of(headers, b"x-forwarded-proto")
        client, place = client_of(hops, networks)
        if client is not None:
            changed["client"] = (client, 0)
        # Proxies in a row either pass the scheme on or each append their own, as they do with addresses.
        nearest = place if place and len(schemes) == len(hops) else 1
        secure = SECURE.get(schemes[-nearest].lower()) if schemes else None
        if secure is not None:
            names = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]]
            changed["scheme"] = names[secure]
    return changed


def entries_of(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """The entries of a list header in order, over all its lines."""
    text = ",".join(value.decode("latin-1") for key, value in headers if key == name)
    return [entry.strip() for entry in text.split(",") if entry.strip()]
