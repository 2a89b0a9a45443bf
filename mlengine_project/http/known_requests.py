"""Parsed forms of short requests by their bytes; a caller sends the same bytes again and again."""

from typing import Any

MAX_REQUESTS = 256
MAX_BYTES = 1024

Parsed = tuple[dict[str, Any], bytes]
"""Scope and body."""


class KnownRequests:
    """Requests that were answered at once, up to a number; then it begins anew."""

    def __init__(self) -> None:
        self.parsed: dict[bytes, Parsed] = {}

    def find(self, received: bytes) -> Parsed | None:
        """Scope and body of a request with these bytes."""
        return self.parsed.get(received) if len(received) <= MAX_BYTES else None

    def keep(self, received: bytes, scope: dict[str, Any], body: bytes) -> None:
        """Keep the parsed form of a short request."""
        if len(received) <= MAX_BYTES:
            if len(self.parsed) >= MAX_REQUESTS:
                self.parsed.clear()
            self.parsed[received] = (scope, body)


known_requests = KnownRequests()
"""The requests of this process."""
