"""Forwarded headers count only from the proxies named in TRUSTED_PROXY.

They are removed from every request, so nothing behind this can be fooled by a client that sends
them itself; a trusted proxy's word is put where the server's own would be: scheme and client.
"""

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
FORWARDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"}


class TrustedProxy:
    """An ASGI layer in front of everything else."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Rewrite the scope of a request, leave the rest alone."""
        if scope["type"] in {"http", "websocket"}:
            scope = rewritten(scope, trusted_networks())
        await self.application(scope, receive, send)


def trusted_networks() -> list[IPv4Network | IPv6Network]:
    """The networks of TRUSTED_PROXY; unreadable ones are named by the system checks."""
    networks = []
    for text in settings.TRUSTED_PROXY:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return networks


def is_within(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    """Whether an address belongs to one of the networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def rewritten(scope: dict[str, Any], networks: list[IPv4Network | IPv6Network]) -> dict[str, Any]:
    """Scheme and client as the nearest trusted proxy saw them; no forwarded header survives."""
    headers = scope.get("headers", [])
    kept = [(name, value) for name, value in headers if name not in FORWARDED]
    client = scope.get("client")
    changed = {**scope, "headers": kept}
    if client and is_within(client[0], networks):
        given = {name: value.decode("latin-1") for name, value in headers if name in FORWARDED}
        scheme = given.get(b"x-forwarded-proto", "").strip().lower()
        if scheme in {"http", "https"}:
            secure = scheme == "https"
            names = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]]
            changed["scheme"] = names[secure]
        hops = [hop.strip() for hop in given.get(b"x-forwarded-for", "").split(",") if hop.strip()]
        for hop in reversed(hops):
            changed["client"] = (hop, 0)
            if not is_within(hop, networks):
                break
    return changed
