"""ASGI middleware that answers cached predictions without Django: same key, limit and bytes.

It answers `POST /predictions` when nothing needs the database: the key was verified within the last minute, the
body is small and plain, the rate limit is not reached and the cache holds a valid answer. Every other request goes to
Django. Response headers are copied from Django's last answer to the same kind of request, so that both paths return
the same headers.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import ParseError

from marketdata import clock
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.access.services import verified_identity
from mlengine_project.access.sliding_window import window
from mlengine_project.access.throttling import limit_headers
from mlengine_project.http.asgi_types import Application, AsgiScope, Message, Receive, Send
from mlengine_project.http.json_codec import media_type_of, read_json
from mlengine_project.http.limits import replay_first
from mlengine_project.http.response_counts import count_prediction
from mlengine_project.operations.logs.structured import log_request, request_id_from
from predictions.services import cached_prediction

Headers = list[tuple[bytes, bytes]]

PATH = "/predictions"
MAX_BODY_BYTES = 1024
VARYING_HEADERS = frozenset({b"content-length", b"x-request-id", b"ratelimit", b"ratelimit-policy", b"date", b"server"})
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
"""A request with any other header (Origin, cookie, transfer coding) goes to Django."""

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="fast-road")


class FastRoad:
    """ASGI middleware that answers cached predictions and passes other requests on."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.templates: dict[str, Headers] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer the request or pass it on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH or scope["query_string"]:
            await self.application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not is_plain(scope["headers"], headers):
            await self.application(scope, receive, send)
            return
        body = await receive()
        template = self.templates.get(scope["scheme"])
        if template is not None and body["type"] == "http.request" and not body.get("more_body", False):
            started = clock.monotonic()
            answered = await asyncio.get_running_loop().run_in_executor(
                _pool, cached_answer, headers, body.get("body", b""), started
            )
            if answered is not None:
                content, own = answered
                await send({"type": "http.response.start", "status": 200, "headers": [*template, *own]})
                await send({"type": "http.response.body", "body": content})
                return
        await self.application(scope, replay_first(body, receive), self.recording_headers(scope["scheme"], send))

    def recording_headers(self, kind: str, send: Send) -> Send:
        """Record the headers of Django's answer to this kind of request."""

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.templates[kind] = [pair for pair in message["headers"] if pair[0].lower() not in VARYING_HEADERS]
            await send(message)

        return observed


def is_plain(pairs: Iterable[tuple[bytes, bytes]], headers: dict[bytes, bytes]) -> bool:
    """Whether the request has only plain headers, JSON and an allowed host."""
    names = [name for name, _ in pairs]
    if len(names) != len(headers) or not ORDINARY_HEADERS.issuperset(names):
        return False
    if media_type_of(headers.get(b"content-type", b"").decode("latin-1")) != "application/json":
        return False
    domain, _ = split_domain_port(headers.get(b"host", b"").decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def cached_answer(headers: dict[bytes, bytes], body: bytes, started: float) -> tuple[bytes, Headers] | None:
    """The cached prediction and its varying headers; None when Django has to answer.

    The request is counted against the rate limit last, so that it is not counted twice.
    """
    requested = parse_request(body)
    identity = verified_identity(headers.get(b"x-api-key", b"").decode("latin-1"))
    if requested is None or identity is None or not identity.includes(Scope.PREDICT):
        return None
    content = cached_content(*requested)
    own = None if content is None else bucket_headers(identity)
    if content is None or own is None:
        return None
    request_id = request_id_from(headers.get(b"x-request-id", b"").decode("latin-1"))
    own += [(b"content-length", str(len(content)).encode()), (b"x-request-id", request_id.encode())]
    seconds = clock.monotonic() - started
    count_prediction(*requested, seconds)
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        log_request("POST", PATH, 200, seconds, identity.key_id)
    return content, own


def cached_content(symbol: str, horizon: int) -> bytes | None:
    """The cached prediction; None also without a database, which Django reports."""
    try:
        return cached_prediction(symbol, horizon)
    except DatabaseError:
        return None
    finally:
        close_old_connections()


def parse_request(body: bytes) -> tuple[str, int] | None:
    """Symbol and horizon of a small, plain body; None for any other."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        requested = read_json(body)
    except ParseError:
        return None
    if not isinstance(requested, dict) or requested.keys() != {"symbol", "horizon"}:
        return None
    symbol, horizon = requested.get("symbol"), requested.get("horizon")
    if not isinstance(symbol, str) or isinstance(horizon, bool) or not isinstance(horizon, int):
        return None
    return symbol, horizon


def bucket_headers(identity: Identity) -> Headers | None:
    """Count the request against the key's limit; None over the limit, which Django reports."""
    if settings.RATE_LIMIT <= 0:
        return []
    take = window.take(f"predictions:{identity.key_id}", settings.RATE_LIMIT)
    if not take.admitted:
        return None
    return [(name.lower().encode(), value.encode()) for name, value in limit_headers(take).items()]
