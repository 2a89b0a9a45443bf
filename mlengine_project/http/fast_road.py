"""ASGI middleware that answers predictions from memory, in the event loop: same key, limit and bytes as Django.

It answers `POST /predictions` when the body is small and plain, the key was verified within the last minute and the
rate limit is not reached. A finished answer needs no thread, Redis or database: the server's protocol asks for it as
soon as the request is complete (`answer_now`), before it starts a task. One that is missing is fetched or computed once
in a thread, while other requests for it wait, also without a task (`answer_soon`). Every other request goes to Django.
Response headers are copied from Django's last answer to the same kind of request, so that both paths return the same
headers.
"""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections
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
from mlengine_project.http.plain_requests import Headers, key_of, plain_headers, shared_headers
from mlengine_project.http.response_counts import count_prediction
from mlengine_project.operations.logs.structured import log_request, request_id_from
from predictions.live.answers import Answers, Question
from predictions.services import latest_prediction

PATH = "/predictions"
MAX_BODY_BYTES = 1024
SOON_SECONDS = 1.0
"""Longest wait of a request without a task; one that takes longer gets a task with its own time limit."""

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="fast-road")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SharedHeaders:
    """Headers of every answer of a kind, also as the lines a server writes."""

    pairs: Headers
    lines: bytes


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """A 200 with the headers of its kind, its own and its content."""

    shared: SharedHeaders
    own: Headers
    content: bytes

    @property
    def headers(self) -> Headers:
        """All headers."""
        return self.shared.pairs + self.own

    @property
    def head(self) -> bytes:
        """All headers as lines, with lower-case names."""
        return self.shared.lines + lines_of(self.own)


def lines_of(headers: Headers) -> bytes:
    """Headers as a server writes them."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


@dataclass(frozen=True, slots=True)
class Asked:
    """A complete request for a prediction by a known key."""

    kind: str
    headers: dict[bytes, bytes]
    question: Question
    identity: Identity
    started: float


class FastRoad:
    """ASGI middleware that answers predictions from memory and passes other requests on."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.templates: dict[str, SharedHeaders] = {}
        self.answers = Answers()
        self.running: dict[Hashable, asyncio.Future[object]] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer the request or pass it on."""
        headers = predicting_headers(scope)
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
                pairs = shared_headers(message["headers"])
                self.templates[kind] = SharedHeaders(pairs, lines_of(pairs))
            await send(message)

        return observed

    def answer_now(self, scope: AsgiScope, body: bytes) -> ReadyAnswer | None:
        """The answer where it is in memory and within the reserved calls; None where anything else is needed.

        For a server that has the whole request: no task, no thread.
        """
        asked = self.asked(scope, body)
        content = None if asked is None else self.answers.find(asked.question)
        return None if asked is None or content is None else self.within_reserved(asked, content)

    def answer_soon(
        self, scope: AsgiScope, body: bytes, deliver: Callable[[Callable[[], ReadyAnswer | None]], None]
    ) -> bool:
        """Whether a missing answer is being computed, for a server that has the whole request.

        `deliver` is then called once, with a function that finishes the answer, or returns None where the request has
        to be started as any other.
        """
        asked = self.asked(scope, body)
        if asked is None or not self.answers.is_served(asked.question):
            return False
        running = self.start(asked.question, lambda: self.computed(asked.question))

        def when_computed(computed: asyncio.Future[bytes | None]) -> None:
            timer.cancel()
            content = None if computed.cancelled() else computed.result()
            deliver(lambda: None if content is None else self.within_reserved(asked, content))

        def when_late() -> None:
            running.remove_done_callback(when_computed)
            deliver(lambda: None)

        running.add_done_callback(when_computed)
        timer = asyncio.get_running_loop().call_later(SOON_SECONDS, when_late)
        return True

    def asked(self, scope: AsgiScope, body: bytes) -> Asked | None:
        """A request that may be answered without a task; None for any other, or while the state is not known."""
        started, answers = clock.monotonic(), self.answers
        headers = predicting_headers(scope)
        question = None if headers is None else parse_request(body)
        if headers is None or question is None or started >= answers.valid_until:
            return None
        if started >= answers.renewal_at:
            self.start("state", answers.renew)
        identity = verified_identity(key_of(headers))
        if identity is None or not identity.includes(Scope.PREDICT) or scope["scheme"] not in self.templates:
            return None
        return Asked(scope["scheme"], headers, question, identity, started)

    def within_reserved(self, asked: Asked, content: bytes) -> ReadyAnswer | None:
        """The answer, counted against the reserved calls of its key; None where they are used up."""
        limited = settings.RATE_LIMIT > 0
        take = take_from_reserved(asked.identity) if limited else None
        if limited and (take is None or not take.admitted):
            return None
        return self.finished(asked, content, take)

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
        return self.finished(Asked(scope["scheme"], headers, question, identity, started), content, take)

    def finished(self, asked: Asked, content: bytes, take: WindowResult | None) -> ReadyAnswer:
        """The answer with its headers, counted and logged."""
        request_id = request_id_from(asked.headers.get(b"x-request-id", b"").decode("latin-1"))
        own = [(b"content-length", b"%d" % len(content)), (b"x-request-id", request_id.encode())]
        if take is not None:
            own += [(name.lower().encode(), value.encode()) for name, value in limit_headers(take).items()]
        seconds = clock.monotonic() - asked.started
        count_prediction(*asked.question, seconds)
        log_request("POST", PATH, 200, seconds, asked.identity.key_id, request_id)
        return ReadyAnswer(self.templates[asked.kind], own, content)

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


def predicting_headers(scope: AsgiScope) -> dict[bytes, bytes] | None:
    """Headers of a plain POST of JSON for a prediction; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH or scope["query_string"]:
        return None
    headers = plain_headers(scope)
    return headers if headers is not None and is_json(headers.get(b"content-type", b"")) else None


@lru_cache(maxsize=64)
def is_json(content_type: bytes) -> bool:
    """Whether a body of this type is JSON."""
    return media_type_of(content_type.decode("latin-1")) == "application/json"


def parse_request(body: bytes) -> tuple[str, int] | None:
    """Symbol and horizon of a small, plain body; None for any other."""
    return question_of(body) if len(body) <= MAX_BODY_BYTES else None


@lru_cache(maxsize=256)
def question_of(body: bytes) -> tuple[str, int] | None:
    """Symbol and horizon of a plain body; equal bodies are read once."""
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
