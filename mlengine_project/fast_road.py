"""A short way to a cached prediction, in front of Django: same key, same bucket, same bytes.

It answers `POST /predictions` when nothing needs the database: the key was verified within the last
minute, the body is small and plain, the bucket has room and the cache holds a valid answer. All
else goes to Django. The headers of an answer are not written here: they are those Django gave the
last time it answered the same kind of request, so the two roads cannot drift apart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import ParseError

from marketdata import clock
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.access.services import verified_identity
from mlengine_project.access.throttling import limit_headers
from mlengine_project.access.windows import window
from mlengine_project.answering_time import note_answer
from mlengine_project.operations.logging import note_request, request_id_from
from mlengine_project.wire import media_type_of, read_json
from predictions.services import cached_prediction

Scope_ = dict[str, Any]
Message = dict[str, Any]
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope_, Receive, Send], Awaitable[None]]

PATH = "/predictions"
LARGEST_BODY = 1024
OWN_HEADERS = frozenset({b"content-length", b"x-request-id", b"ratelimit", b"ratelimit-policy", b"date", b"server"})
"""Headers that belong to one answer; all others are the same for every answer of a kind."""
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
"""A request with any other header (an Origin, a cookie, a transfer coding) is Django's."""

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="fast-road")


class FastRoad:
    """An ASGI application that answers what it can and hands everything else on."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.templates: dict[str, Headers] = {}

    async def __call__(self, scope: Scope_, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH or scope["query_string"]:
            await self.application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not is_ordinary(scope["headers"], headers):
            await self.application(scope, receive, send)
            return
        body = await receive()
        template = self.templates.get(scope["scheme"])
        if template is not None and body["type"] == "http.request" and not body.get("more_body", False):
            started = clock.monotonic()
            answered = await asyncio.get_running_loop().run_in_executor(
                _pool, answer, headers, body.get("body", b""), started
            )
            if answered is not None:
                content, own = answered
                await send({"type": "http.response.start", "status": 200, "headers": [*template, *own]})
                await send({"type": "http.response.body", "body": content})
                return
        await self.application(scope, first_then(body, receive), self.learning(scope["scheme"], send))

    def learning(self, kind: str, send: Send) -> Send:
        """Remember the headers Django gives a prediction of this kind."""

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.templates[kind] = [pair for pair in message["headers"] if pair[0].lower() not in OWN_HEADERS]
            await send(message)

        return observed


def is_ordinary(pairs: Iterable[tuple[bytes, bytes]], headers: dict[bytes, bytes]) -> bool:
    """Whether a program sent this and nothing about it needs Django's judgement."""
    names = [name for name, _ in pairs]
    if len(names) != len(headers) or not ORDINARY_HEADERS.issuperset(names):
        return False
    if media_type_of(headers.get(b"content-type", b"").decode("latin-1")) != "application/json":
        return False
    domain, _ = split_domain_port(headers.get(b"host", b"").decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def first_then(first: Message, receive: Receive) -> Receive:
    """Give Django the part of the body that was read already, then the rest."""
    waiting = [first]

    async def resumed() -> Message:
        return waiting.pop() if waiting else await receive()

    return resumed


def answer(headers: dict[bytes, bytes], body: bytes, started: float) -> tuple[bytes, Headers] | None:
    """The cached prediction and the headers of its own, or None when Django has to look at it.

    The place in the bucket is taken last, so that no request is counted twice.
    """
    asked = plain_question(body)
    identity = verified_identity(headers.get(b"x-api-key", b"").decode("latin-1"))
    if asked is None or identity is None or not identity.includes(Scope.PREDICT):
        return None
    content = found(*asked)
    own = None if content is None else counted(identity)
    if content is None or own is None:
        return None
    request_id = request_id_from(headers.get(b"x-request-id", b"").decode("latin-1"))
    own += [(b"content-length", str(len(content)).encode()), (b"x-request-id", request_id.encode())]
    seconds = clock.monotonic() - started
    note_answer(*asked, seconds)
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        note_request("POST", PATH, 200, seconds, identity.key_id)
    return content, own


def found(symbol: str, horizon: int) -> bytes | None:
    """What the cache holds for it; a database that is away is Django's to explain."""
    try:
        return cached_prediction(symbol, horizon)
    except DatabaseError:
        return None
    finally:
        close_old_connections()


def plain_question(body: bytes) -> tuple[str, int] | None:
    """Symbol and horizon of a body that could not be plainer."""
    if len(body) > LARGEST_BODY:
        return None
    try:
        asked = read_json(body)
    except ParseError:
        return None
    if not isinstance(asked, dict) or asked.keys() != {"symbol", "horizon"}:
        return None
    symbol, horizon = asked.get("symbol"), asked.get("horizon")
    if not isinstance(symbol, str) or isinstance(horizon, bool) or not isinstance(horizon, int):
        return None
    return symbol, horizon


def counted(identity: Identity) -> Headers | None:
    """Take a place in the key's bucket; None when it is full, which Django then says."""
    if settings.RATE_LIMIT <= 0:
        return []
    take = window.take(f"predictions:{identity.key_id}", settings.RATE_LIMIT)
    if not take.admitted:
        return None
    return [(name.lower().encode(), value.encode()) for name, value in limit_headers(take).items()]
