"""The outermost layer of HTTP: bodies are small and arrive in time, and every request ends.

Nothing behind this reads from a slow or endless sender, and no caller waits longer than 30 seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from marketdata import clock
from mlengine_project.errors import Answer, PayloadTooLarge
from mlengine_project.operations.logging import note_request, request_id_from
from mlengine_project.wire import write_json

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

BODY_SECONDS = 10.0
REQUEST_SECONDS = 28.0
"""Less than the 30 promised, so that the answer itself arrives in time."""
BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})

TOO_LARGE = Answer(413, "PayloadTooLarge", PayloadTooLarge.default_detail)
TOO_SLOW = Answer(408, "ValidationError", "The body did not arrive in time.", details={"request": ["Send it faster."]})
TOO_LONG = Answer(503, "ServiceUnavailable", "The answer took too long.", headers={"Retry-After": "5"})


class Gate:
    """An ASGI layer in front of Django and of the fast road."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.abandoned: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Read the body within its limits, then let the request run until its deadline."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        if scope["method"] not in BODILESS:
            try:
                receive = replayed(await whole_body(scope, receive), receive)
            except (_TooLarge, TimeoutError) as error:
                await refuse(scope, send, TOO_LARGE if isinstance(error, _TooLarge) else TOO_SLOW)
                return
        await self.until_deadline(scope, receive, send)

    async def until_deadline(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer 503 in the application's place when it has not begun to answer in time."""
        started = ended = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if ended:
                return
            started = True
            await send(message)

        task = asyncio.ensure_future(self.application(scope, receive, guarded))
        try:
            done, _ = await asyncio.wait({task}, timeout=REQUEST_SECONDS)
            if not done and not started:
                ended = True
                self.abandoned.add(task)
                task.add_done_callback(self.abandoned.discard)
                task.cancel()
                await refuse(scope, send, TOO_LONG)
                return
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise


class _TooLarge(Exception):
    """More bytes than a request may have."""


async def whole_body(scope: dict[str, Any], receive: Receive) -> bytes | None:
    """The body, None when the caller went away; no byte over the limit is kept."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    declared = dict(scope["headers"]).get(b"content-length", b"0")
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


def replayed(body: bytes | None, receive: Receive) -> Receive:
    """Hand on the body in one piece, then whatever else comes."""
    first = {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body, "more_body": False}
    waiting = [first]

    async def resumed() -> Message:
        return waiting.pop() if waiting else await receive()

    return resumed


async def refuse(scope: dict[str, Any], send: Send, answer: Answer) -> None:
    """Answer in the one error form."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    request_id, started = request_id_from(given), clock.monotonic()
    content = write_json(answer.body(scope["path"], request_id))
    headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "x-request-id": request_id,
        "connection": "close",
        **{name.lower(): value for name, value in answer.headers.items()},
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
    note_request(scope["method"], scope["path"], answer.status, clock.monotonic() - started)
