"""ASGI middleware with limits of requests: body size, encoding, and time.

No later layer reads from a slow or endless sender, and no caller waits longer than 30 seconds. Later layers get
every body with a `Content-Length`, however it was sent. Limits of headers are in the server
(`mlengine_project.http.protocol`).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from marketdata import clock
from mlengine_project.http.asgi_types import Application, AsgiScope, Message, Receive, Send
from mlengine_project.http.errors import Answer, PayloadTooLarge
from mlengine_project.http.json_codec import write_json
from mlengine_project.operations.logs.structured import log_request, request_id_from

BODY_SECONDS = 10.0
REQUEST_SECONDS = 28.0
"""Less than the promised 30, so that the answer arrives in time."""
DISCARD_SECONDS = 2.0
DISCARD_IDLE_SECONDS = 0.25
"""Time for reading the rest of a refused body; a caller still sending would not read the answer."""

TOO_LARGE = Answer(413, "PayloadTooLarge", PayloadTooLarge.default_detail)
TOO_SLOW = Answer(408, "ValidationError", "The body did not arrive in time.", details={"request": ["Send it faster."]})
TIMED_OUT = Answer(503, "ServiceUnavailable", "The answer took too long.", headers={"Retry-After": "5"})
NUL_IN_URL = Answer(400, "ValidationError", "The URL holds a NUL character.", details={"request": ["Leave it out."]})
NOT_UTF_8 = Answer(400, "ValidationError", "The query is not UTF-8.", details={"request": ["Encode it as UTF-8."]})
CODING_NOT_SUPPORTED = Answer(
    415, "UnsupportedMediaType", "Bodies are sent without a content coding.", headers={"Accept-Encoding": "identity"}
)


class RequestLimits:
    """ASGI middleware in front of Django and the fast road."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Read the body within its limits, then run the request until its deadline."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        scope = with_plain_cookies(scope)
        headers = joined_headers(scope["headers"])
        sends_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        refusal = url_refusal(scope) or (coding_refusal(headers) if sends_body else None)
        if refusal is None and sends_body:
            try:
                body = await read_body(headers, receive)
            except (_TooLarge, TimeoutError) as error:
                refusal = TOO_LARGE if isinstance(error, _TooLarge) else TOO_SLOW
            else:
                scope, receive = with_length(scope, len(body or b"")), body_receiver(body, receive)
        if refusal is not None:
            await refuse(scope, receive if sends_body else None, send, refusal)
            return
        await self.until_deadline(scope, receive, send)

    async def until_deadline(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Cancel the application and answer 503 when it has not started its answer in time."""
        limit, ended = asyncio.timeout(REQUEST_SECONDS), False

        async def guarded(message: Message) -> None:
            if ended or limit.expired():
                return
            if message["type"] == "http.response.start":
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self.application(scope, receive, guarded)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            ended = True  # a request in a thread runs on after its caller disconnected
        if limit.expired():
            await refuse(scope, None, send, TIMED_OUT)


class _TooLarge(Exception):
    """The body is larger than the limit."""


def joined_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; repeated headers are joined to one list."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = b"%b,%b" % (headers[name], value) if name in headers else value
    return headers


def url_refusal(scope: AsgiScope) -> Answer | None:
    """The refusal of a URL with NUL or invalid UTF-8; None for a valid one."""
    query = scope["query_string"]
    if "\x00" in scope["path"] or b"%00" in query or b"\x00" in query:
        return NUL_IN_URL
    try:
        query.decode()
    except UnicodeDecodeError:
        return NOT_UTF_8
    return None


def with_plain_cookies(scope: AsgiScope) -> dict[str, Any]:
    """The scope without cookies whose value has a backslash, which RFC 6265 forbids.

    Python 3.11 before 3.11.10 takes quadratic time to unquote them, and they can quote a NUL.
    """
    if not any(name == b"cookie" and b"\\" in value for name, value in scope["headers"]):
        return scope
    headers = [
        (
            name,
            b"; ".join(cookie for cookie in value.split(b";") if b"\\" not in cookie) if name == b"cookie" else value,
        )
        for name, value in scope["headers"]
    ]
    return {**scope, "headers": headers}


def coding_refusal(headers: dict[bytes, bytes]) -> Answer | None:
    """The refusal of a body with a content coding; None for a plain one."""
    plain = headers.get(b"content-encoding", b"").strip().lower() in {b"", b"identity"}
    chunked = headers.get(b"transfer-encoding", b"chunked").strip().lower() == b"chunked"
    return None if plain and chunked else CODING_NOT_SUPPORTED


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
    """The body, None when the caller disconnected; bytes over the limit are not kept."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _TooLarge
    parts, size = [], 0
    async with asyncio.timeout(BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _TooLarge
            if not message.get("more_body", False):
                return b"".join(parts)


def with_length(scope: AsgiScope, length: int) -> dict[str, Any]:
    """The scope with a `Content-Length`, without which frameworks treat a body as empty."""
    other_headers = [pair for pair in scope["headers"] if pair[0] not in {b"content-length", b"transfer-encoding"}]
    return {**scope, "headers": [*other_headers, (b"content-length", str(length).encode())]}


def body_receiver(body: bytes | None, receive: Receive) -> Receive:
    """A `receive` that returns the body in one message, then later messages."""
    first = {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body, "more_body": False}
    return replay_first(first, receive)


def replay_first(first: Message, receive: Receive) -> Receive:
    """A `receive` that returns the given message, then later ones."""
    waiting = [first]

    async def resumed() -> Message:
        return waiting.pop() if waiting else await receive()

    return resumed


async def refuse(scope: AsgiScope, receive: Receive | None, send: Send, answer: Answer) -> None:
    """Send an error answer and close; `receive` is given where a body may still arrive."""
    started = clock.monotonic()
    headers, content = error_form(scope, answer)
    pairs = [(name.encode(), value.encode()) for name, value in {**headers, "connection": "close"}.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content, "more_body": receive is not None})
    log_request(scope["method"], scope["path"], answer.status, clock.monotonic() - started)
    if receive is not None:
        await discard_body(receive)
        await send({"type": "http.response.body", "body": b""})


def error_form(scope: AsgiScope, answer: Answer) -> tuple[dict[str, str], bytes]:
    """Headers and content of an error answered before Django."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    request_id = request_id_from(given)
    content = write_json(answer.body(scope["path"], request_id))
    headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "x-request-id": request_id,
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    return headers, content


async def discard_body(receive: Receive) -> None:
    """Discard the body until it ends, the caller disconnects or pauses, or time is up."""
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while True:
                message = await asyncio.wait_for(receive(), DISCARD_IDLE_SECONDS)
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
