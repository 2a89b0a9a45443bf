"""Django's ASGI handler with the whole of a request, from middleware to view, in one thread.

Django's own runs synchronous middleware and views under ASGI through several changes between threads and the event
loop, which cost more than the work of a short request. All middleware and views of this project are synchronous.
"""

import asyncio
from contextvars import copy_context
from io import BytesIO
from typing import Any

from django.core import signals
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBase
from django.urls import set_script_prefix

from mlengine_project.http.asgi_types import AsgiScope, Receive, Send
from mlengine_project.http.direct_reads import DirectReads
from mlengine_project.http.plain_requests import Headers
from mlengine_project.http.request_threads import THREAD


class OneThreadHandler(ASGIHandler):
    """ASGI application of Django; the thread is that of `RequestThreads` around it."""

    def __init__(self) -> None:
        BaseHandler.__init__(self)
        self.reads = DirectReads()
        self.load_middleware(is_async=False)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Read the body, run the request in its thread, then send its answer."""
        parts, more_body = [], True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more_body = message.get("more_body", False)
        # What a request sets in the context (language, id of log lines) ends with it.
        run = copy_context().run
        loop = asyncio.get_running_loop()
        status, headers, content = await loop.run_in_executor(
            scope.get(THREAD), run, self.respond, scope, b"".join(parts)
        )
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def respond(self, scope: AsgiScope, body: bytes) -> tuple[int, Headers, bytes]:
        """Status, headers and content of the answer, complete; what streams is collected, as Django does here too."""
        direct = self.reads.answer(scope)
        if direct is not None:
            return direct
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, error = self.create_request(scope, BytesIO(body))
        response: Any = error if request is None else self.get_response(request)
        response._handler_class = self.__class__  # noqa: SLF001  # sender of the signal of its end
        try:
            headers = headers_of(response)
            self.reads.record(scope, response.status_code, headers)
            return response.status_code, headers, b"".join(response)
        finally:
            response.close()


def headers_of(response: HttpResponseBase) -> Headers:
    """Headers of a response, cookies last."""
    pairs = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    cookies = (cookie.output(header="").strip() for cookie in response.cookies.values())
    return pairs + [(b"Set-Cookie", cookie.encode("ascii")) for cookie in cookies]
