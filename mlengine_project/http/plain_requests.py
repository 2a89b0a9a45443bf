"""Requests with ordinary headers only, and the headers that Django's answers to such requests share."""

from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from mlengine_project.http.asgi_types import AsgiScope

Headers = list[tuple[bytes, bytes]]

VARYING_HEADERS = frozenset(
    {b"content-length", b"x-request-id", b"etag", b"ratelimit", b"ratelimit-policy", b"date", b"server"}
)
"""Headers that differ between answers; all others are the same for every answer of a kind."""
ORDINARY_HEADERS = frozenset(
    {
        b"host",
        b"x-api-key",
        b"content-type",
        b"content-length",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"user-agent",
        b"connection",
        b"x-request-id",
        b"idempotency-key",
        b"traceparent",
        b"tracestate",
    }
)
"""A request with any other header (Origin, cookie, transfer coding) is Django's."""


def plain_headers(scope: AsgiScope) -> dict[bytes, bytes] | None:
    """Headers by name if all are ordinary, none is repeated and the host is allowed, else None."""
    pairs = scope["headers"]
    headers = dict(pairs)
    is_plain = (
        len(pairs) == len(headers)
        and ORDINARY_HEADERS.issuperset(headers)
        and is_allowed(headers.get(b"host", b""), tuple(settings.ALLOWED_HOSTS))
    )
    return headers if is_plain else None


@lru_cache(maxsize=64)
def is_allowed(host: bytes, allowed_hosts: tuple[str, ...]) -> bool:
    """Whether the host is one of ALLOWED_HOSTS."""
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed_hosts)


def key_of(headers: dict[bytes, bytes]) -> str:
    """The key that was sent, empty if there is none."""
    return headers.get(b"x-api-key", b"").decode("latin-1")


def shared_headers(headers: Headers) -> Headers:
    """Headers of an answer that every answer of its kind has, with lower-case names."""
    pairs = [(name.lower(), value) for name, value in headers]
    return [pair for pair in pairs if pair[0] not in VARYING_HEADERS]
