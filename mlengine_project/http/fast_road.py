"""ASGI middleware that answers predictions from memory, in the event loop: same key, limit and bytes as Django.

It answers `POST /predictions` when the body is small and plain, the key was verified within the last minute and the
rate limit is not reached. A finished answer needs no thread, Redis or database: the server's protocol asks for it as
soon as the request is complete (`answer_now`), before it starts a task. One that is missing is fetched or computed once
in a thread, while other requests for it wait. Every other request goes to Django. Response headers are copied from
Django's last answer to the same kind of request, so that both paths return the same headers.
"""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import ParseError

from marketdata import clock
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.access.services import authenticate_key, verified_identity, was_verified
from mlengine_project.access.sliding_window import WindowResult
from mlengine_project.access.throttling import limit_headers, take_from_bucket, take_from_reserved
from mlengine_project.http.asgi_types import Application, AsgiScope, Message, Receive, Send
from mlengine_project.http.json_codec import media_type_of, read_json
from mlengine_project.http.limits import replay_first
from mlengine_project.http.response_counts import count_prediction
from mlengine_project.operations.logs.structured import log_request, request_id_from
from predictions.live.answers import Answers, Question
from predictions.services import latest_prediction

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

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """Headers and content of a 200; `head` holds the same headers as a server writes them."""

    headers: Headers
    content: bytes

    @property
    def head(self) -> bytes:
        """Header lines, with lower-case names."""
        return b"".join([b"%b: %b\r\n" % pair for pair in self.headers])


class FastRoad:
    """ASGI middleware that answers predictions from memory and passes other requests on."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.templates: dict[str, Headers] = {}
        self.answers = Answers()
        self.running: dict[Hashable, asyncio.Future[object]] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer the request or pass it on."""
        headers = plain_headers(scope)
        if headers is None:
            await self.application(scope, receive, send)
            return
        started = clock.monotonic()
        body = await receive()
        if body["type"] == "http.request" and not body.get("more_body", False):
            answer = await self.answer(scope, headers, body.get("body", b""), started)
            if answer is not None:
                await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
                await send({"type": "http.response.body", "body": answer.content})
                return
        await self.application(scope, replay_first(body, receive), self.recording_headers(scope["scheme"], send))

    def recording_headers(self, kind: str, send: Send) -> Send:
        """Record the headers of Django's answer to this kind of request."""

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                pairs = [(name.lower(), value) for name, value in message["headers"]]
                self.templates[kind] = [pair for pair in pairs if pair[0] not in VARYING_HEADERS]
            await send(message)

        return observed

    def answer_now(self, scope: AsgiScope, body: bytes) -> ReadyAnswer | None:
        """The answer where it is in memory and within the reserved calls; None where anything else is needed.

        For a server that has the whole request: no task, no thread.
        """
        started, answers = clock.monotonic(), self.answers
        headers = plain_headers(scope)
        question = None if headers is None else parse_request(body)
        if headers is None or question is None or started >= min(answers.renewal_at, answers.valid_until):
            return None
        identity, content = verified_identity(key_of(headers)), answers.find(question)
        if identity is None or content is None or not identity.includes(Scope.PREDICT):
            return None
        if scope["scheme"] not in self.templates:
            return None
        limited = settings.RATE_LIMIT > 0
        take = take_from_reserved(identity) if limited else None
        if limited and (take is None or not take.admitted):
            return None
        return self.finished(scope, headers, question, identity, content, take, started)

    async def answer(
        self, scope: AsgiScope, headers: dict[bytes, bytes], body: bytes, started: float
    ) -> ReadyAnswer | None:
        """The answer, from memory or computed; None when Django has to answer.

        The request is counted against the rate limit last, so that it is not counted twice.
        """
        question, secret = parse_request(body), key_of(headers)
        if question is None or scope["scheme"] not in self.templates:
            return None
        identity = verified_identity(secret)
        if identity is None and was_verified(secret):
            identity = await self.once(("key", secret), lambda: authenticate_key(secret))
        if identity is None or not identity.includes(Scope.PREDICT):
            return None
        content = await self.content(question)
        if content is None:
            return None
        take = await self.take(identity)
        if take is not None and not take.admitted:
            return None
        return self.finished(scope, headers, question, identity, content, take, started)

    def finished(
        self,
        scope: AsgiScope,
        given: dict[bytes, bytes],
        question: Question,
        identity: Identity,
        content: bytes,
        take: WindowResult | None,
        started: float,
    ) -> ReadyAnswer:
        """The answer with its headers, counted and logged."""
        request_id = request_id_from(given.get(b"x-request-id", b"").decode("latin-1"))
        headers = [*self.templates[scope["scheme"]]]
        if take is not None:
            headers += [(name.lower().encode(), value.encode()) for name, value in limit_headers(take).items()]
        headers += [(b"content-length", b"%d" % len(content)), (b"x-request-id", request_id.encode())]
        seconds = clock.monotonic() - started
        count_prediction(*question, seconds)
        log_request("POST", PATH, 200, seconds, identity.key_id, request_id)
        return ReadyAnswer(headers, content)

    async def content(self, question: Question) -> bytes | None:
        """The answer in memory, else the one that is fetched or computed once for all who wait for it."""
        answers, now = self.answers, clock.monotonic()
        if now >= answers.valid_until:
            await self.once("state", answers.renew)
            if clock.monotonic() >= answers.valid_until:
                return None
        elif now >= answers.renewal_at:
            self.start("state", answers.renew)
        found = answers.find(question)
        if found is None and answers.is_served(question):
            return await self.once(question, lambda: self.computed(question))
        return found

    def computed(self, question: Question) -> bytes:
        """The answer from the cache, the log, or a forecast."""
        state = self.answers.state
        content = latest_prediction(*question)
        self.answers.keep(state, question, content)
        return content

    async def take(self, identity: Identity) -> WindowResult | None:
        """Count the request against the key's limit, near it by the shared counter; None when there is no limit."""
        if settings.RATE_LIMIT <= 0:
            return None
        take = take_from_reserved(identity)
        if take is None:
            loop = asyncio.get_running_loop()
            take = await loop.run_in_executor(_pool, take_from_bucket, identity)
        return take

    async def once(self, name: Hashable, work: Callable[[], Result]) -> Result | None:
        """The result of work in a thread, shared by all who wait for it; None if it failed, which Django reports."""
        # A caller that disconnects does not end the work of the others.
        return await asyncio.shield(self.start(name, work))

    def start(self, name: Hashable, work: Callable[[], Result]) -> "asyncio.Future[Result | None]":
        """Start the work in a thread, unless this event loop waits for it already."""
        loop = asyncio.get_running_loop()
        running: asyncio.Future[Result | None] | None = self.running.get(name)  # type: ignore[assignment]
        if running is None or running.get_loop() is not loop:
            running = loop.run_in_executor(_pool, _result_of, work)
            self.running[name] = running  # type: ignore[assignment]
            running.add_done_callback(lambda _: self.running.pop(name, None))
        return running


def _result_of(work: Callable[[], Result]) -> Result | None:
    try:
        return work()
    except Exception:  # noqa: BLE001  # Django meets the same error and reports it
        return None
    finally:
        close_old_connections()


def plain_headers(scope: AsgiScope) -> dict[bytes, bytes] | None:
    """Headers of a POST of JSON for a prediction to an allowed host, if all are ordinary; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH or scope["query_string"]:
        return None
    pairs = scope["headers"]
    headers = dict(pairs)
    is_plain = (
        len(pairs) == len(headers)
        and ORDINARY_HEADERS.issuperset(headers)
        and is_json(headers.get(b"content-type", b""))
        and is_allowed(headers.get(b"host", b""), tuple(settings.ALLOWED_HOSTS))
    )
    return headers if is_plain else None


def key_of(headers: dict[bytes, bytes]) -> str:
    """The key that was sent, empty if there is none."""
    return headers.get(b"x-api-key", b"").decode("latin-1")


@lru_cache(maxsize=64)
def is_json(content_type: bytes) -> bool:
    """Whether a body of this type is JSON."""
    return media_type_of(content_type.decode("latin-1")) == "application/json"


@lru_cache(maxsize=64)
def is_allowed(host: bytes, allowed_hosts: tuple[str, ...]) -> bool:
    """Whether the host is one of ALLOWED_HOSTS."""
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed_hosts)


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
