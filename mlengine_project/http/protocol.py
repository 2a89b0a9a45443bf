"""uvicorn's HTTP/1.1 protocol with limits checked before bytes are kept.

Refusals are JSON. uvicorn's own class keeps headers of any size, drops the body of a request whose `Upgrade` it does
not support, adds trailers to the headers, and answers invalid input before the requests received earlier. The
Dockerfile names this class (`--http`), and `up` uses it too.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from mlengine_project.http.known_requests import known_requests

MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 8 * 1024
"""Name and value of one header together."""
MAX_HEAD_BYTES = 32 * 1024
"""All headers together; also the limit of a chunk's header and of trailers."""
MAX_HEADERS = 100
MAX_HANDSHAKE_URL_BYTES = 8000
"""Limit of the URL of a websocket; its library reads lines of at most 8 KiB."""
MAX_PIPELINED = 100
"""Requests waiting on one connection."""
HEAD_SECONDS = 10.0
"""Time for a request line and its headers, counted from the connection or from their first byte."""
WRITE_SECONDS = 30.0
"""Time for a caller to read an answer."""
PIECE_BYTES = 16 * 1024
"""Bytes parsed at once; an unfinished header grows by at most this much unchecked."""
MAX_PATH_CHARACTERS = 256
IMMEDIATE_TARGET = b"/predictions"
"""Target of requests that the application is asked to answer at once."""

NOT_HTTP = "This is not an HTTP/1.1 request."


class RequestRefused(Exception):
    """A refused message: status and message of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class LimitedHttpProtocol(HttpToolsProtocol):
    """A connection with limits of headers, trailers and waiting requests in size, number and time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unread_bytes = self.field_bytes = self.fields = 0
        self.in_head = self.in_body = self.refused = False
        self.offers_upgrade = self.is_handshake = False
        self.head_timer: asyncio.TimerHandle | None = None
        self.unread_timer: asyncio.TimerHandle | None = None
        self.answer_now = getattr(self.app, "answer_now", None)
        self.answer_soon = getattr(self.app, "answer_soon", None)
        self.is_new = False
        self.held: RequestResponseCycle | None = None

    # --- bytes ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first headers."""
        super().connection_made(transport)
        self.head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_head_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse in pieces; invalid input is refused after the requests received earlier."""
        if self.refused:
            self.cycle.message_event.set()
            return
        known = known_requests.find(data)
        if known is not None and self._answer_known(*known):
            return
        self._unset_keepalive_if_required()
        is_whole = self._is_between_requests()
        try:
            for start in range(0, len(data), PIECE_BYTES):
                if not self._feed(data[start : start + PIECE_BYTES]):
                    return
        except RequestRefused as refused:
            self._refuse(refused)
            return
        if self.head_timer is None and (self.in_head or self._is_idle()):
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        if self.held is not None and self._run_held(self.held) and is_whole and self._is_between_requests():
            known_requests.keep(data, dict(self.cycle.scope), bytes(self.cycle.body))

    def _feed(self, piece: bytes) -> bool:
        """Parse one piece; False when the connection has become a websocket."""
        self.unread_bytes += len(piece)
        while piece:
            try:
                self.parser.feed_data(piece)
                break
            except httptools.HttpParserUpgrade as upgrade:
                if self.is_handshake:
                    self.resume_writing()
                    self.handle_websocket_upgrade()
                    return False
                piece = piece[upgrade.args[0] :]
                self._read_head_without_upgrade()
            except httptools.HttpParserError as error:
                raise _refusal_of(error) from error
        if self.unread_bytes > MAX_HEAD_BYTES:
            raise RequestRefused(431, f"The headers are larger than {MAX_HEAD_BYTES // 1024} KiB.")
        return True

    def _read_head_without_upgrade(self) -> None:
        """Parse the headers again without `Upgrade`, since the parser skipped the body.

        A server may ignore `Upgrade` (RFC 9110, 7.8); Java's client and `curl --http2` offer h2c in each request.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        for name, value in self.headers:
            value_left = value
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value_left = b", ".join(
                    token for token in tokens if token.lower() not in {b"upgrade", b"http2-settings"}
                )
            if name not in {b"upgrade", b"http2-settings"} and (value_left or not value):
                lines.append(b"%b: %b" % (name, value_left))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        except httptools.HttpParserError as error:
            raise _refusal_of(error) from error

    # --- callbacks of the parser ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Reset the counters for a new message."""
        super().on_message_begin()
        self.in_head, self.fields, self.field_bytes = True, 0, 0
        self.offers_upgrade = self.is_handshake = False

    def on_url(self, url: bytes) -> None:
        """Keep the target, up to the limit."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise RequestRefused(414, f"The URL is longer than {MAX_URL_BYTES // 1024} KiB.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header without spaces around its value; count and drop a trailer."""
        size = len(name) + len(value)
        self.fields += 1
        self.field_bytes += size
        if self.fields > MAX_HEADERS:
            raise RequestRefused(431, f"A request has at most {MAX_HEADERS} headers.")
        if size > MAX_HEADER_BYTES:
            raise RequestRefused(431, f"A header is longer than {MAX_HEADER_BYTES // 1024} KiB.")
        if self.field_bytes > MAX_HEAD_BYTES:
            raise RequestRefused(431, f"The headers are larger than {MAX_HEAD_BYTES // 1024} KiB.")
        if self.in_head:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Start the request, unless its headers have to be parsed again without `Upgrade`."""
        self._stop_head_timer()
        self._take_origin_form()
        if self.parser.get_http_version() not in {"1.0", "1.1"}:
            raise RequestRefused(400, NOT_HTTP)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RequestRefused(400, f"At most {MAX_PIPELINED} requests may wait on a connection.")
        self.offers_upgrade = self.parser.should_upgrade()
        self.is_handshake = self.offers_upgrade and self._should_upgrade()
        if self.is_handshake and len(self.url) > MAX_HANDSHAKE_URL_BYTES:
            raise RequestRefused(414, "The URL of a websocket is longer than 8,000 bytes.")
        self.in_head, self.unread_bytes, self.fields, self.field_bytes = False, 0, 0, 0
        if self.is_handshake or not self.offers_upgrade:
            self.is_new = True
            super().on_headers_complete()
            self.is_new = False
            self.in_body = not self.is_handshake

    def on_chunk_header(self) -> None:
        """Record the start of a chunk."""
        self.unread_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self.unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record the end of a message."""
        self.in_body, self.unread_bytes = False, 0
        if not self.offers_upgrade:
            super().on_message_complete()

    # --- answers without a task ------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request; a new one that the application may answer at once is held until these bytes are parsed."""
        if self.is_new and self.url == IMMEDIATE_TARGET and self.answer_now is not None and app is self.app:
            self.held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _run_held(self, cycle: RequestResponseCycle) -> bool:
        """Answer the request that is held if its body is complete and its answer ready, else start it."""
        self.held = None
        is_complete = cycle.keep_alive and not cycle.more_body
        answer = self._ready_answer(dict(cycle.scope), bytes(cycle.body)) if is_complete else None
        if answer is not None:
            cycle.response_started = cycle.response_complete = True
            self._write(answer)
        elif not (is_complete and self._await_answer(cycle)):
            super()._start_asgi_task(cycle, self.app)
        return answer is not None

    def _await_answer(self, cycle: RequestResponseCycle) -> bool:
        """Whether the application computes the answer, which is written when it is delivered."""

        def deliver(finish: Callable[[], Any]) -> None:
            if cycle.disconnected:
                return
            answer = None
            if cycle.keep_alive and not self.flow.write_paused:
                with suppress(Exception):  # the application meets the same error and reports it
                    answer = finish()
            if answer is None:
                self._start_asgi_task(cycle, self.app)
                return
            cycle.response_started = cycle.response_complete = True
            self._write(answer)

        try:
            return self.answer_soon is not None and self.answer_soon(dict(cycle.scope), bytes(cycle.body), deliver)
        except Exception:  # noqa: BLE001  # the application meets the same error and reports it
            return False

    def _answer_known(self, scope: dict[str, Any], body: bytes) -> bool:
        """Answer a request whose bytes were parsed before, if the parser is between two requests."""
        is_next = self._is_between_requests() and scope["scheme"] == self.scheme
        own = {**scope, "client": self.client, "server": self.server}
        answer = self._ready_answer(own, body) if is_next else None
        if answer is None:
            return False
        self._stop_head_timer()
        self._write(answer)
        return True

    def _ready_answer(self, scope: dict[str, Any], body: bytes) -> Any:
        """The application's answer if it is ready."""
        if self.answer_now is None or self.flow.write_paused:
            return None
        try:
            return self.answer_now(scope, body)
        except Exception:  # noqa: BLE001  # the application meets the same error and reports it
            return None

    def _write(self, answer: Any) -> None:
        date = b"".join([b"%b: %b\r\n" % pair for pair in self.server_state.default_headers])
        self.transport.write(b"".join([STATUS_LINE[200], date, answer.head, b"\r\n", answer.content]))
        self.on_response_complete()

    def _is_between_requests(self) -> bool:
        """Whether the parser is at the start of a request and every earlier one was answered."""
        return not (self.in_head or self.unread_bytes) and self._is_idle()

    def _should_upgrade(self) -> bool:
        """Whether these are the headers of a websocket handshake, without an earlier request."""
        names = {name for name, _ in self.headers}
        return (
            self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"sec-websocket-key" in names
            and names.isdisjoint({b"content-length", b"transfer-encoding"})
            and self._is_idle()
            and super()._should_upgrade()
        )

    def _take_origin_form(self) -> None:
        """Convert `http://host/path` to the path and a Host header (RFC 9112, 3.2.2)."""
        if self.url.startswith((b"/", b"*")):
            return
        if self.parser.get_method() == b"CONNECT":
            raise RequestRefused(400, "This server is not a proxy: it does not answer CONNECT.")
        target = httptools.parse_url(self.url)
        if not target.schema or not target.host:
            raise RequestRefused(400, "The target of a request is a path or an absolute URL.")
        host = b"[%b]" % target.host if b":" in target.host else target.host
        authority = b"%b:%d" % (host, target.port) if target.port else host
        self.headers[:] = [(b"host", authority), *(pair for pair in self.headers if pair[0] != b"host")]
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    # --- refusals and time limits -----------------------------------------------------------------

    def _refuse(self, refused: RequestRefused) -> None:
        """Stop reading and answer in order, in place of a request with an incomplete body."""
        self._stop_head_timer()
        self.refused, self.held = True, None
        broken = self.cycle if self.in_body else None
        if broken is not None and broken.response_started:
            broken.more_body = broken.keep_alive = False
            broken.message_event.set()
            if broken.response_complete:
                self.transport.close()
            return
        waits = bool(self.pipeline) if broken is not None else not self._is_idle()
        cycle = self._cycle_of_refusal()
        if broken is not None and waits:
            # The broken request is waiting itself: the refusal takes its place.
            self.pipeline[0] = (cycle, _error_application(refused))
        elif waits:
            self.pipeline.appendleft((cycle, _error_application(refused)))
        else:
            if broken is not None:  # the application gets a disconnect
                broken.disconnected = True
                broken.message_event.set()
            self._start_asgi_task(cycle, _error_application(refused))
        self.cycle = cycle

    def _cycle_of_refusal(self) -> RequestResponseCycle:
        if self.scope is None or not (self.in_head or self.in_body):
            self.on_message_begin()
        method = self.parser.get_method().decode("ascii") if self.url else "GET"
        path = self.url.partition(b"?")[0][:MAX_PATH_CHARACTERS].decode("latin-1")
        return RequestResponseCycle(
            scope={**self.scope, "method": method, "path": path, "raw_path": self.url, "query_string": b""},
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def _is_idle(self) -> bool:
        """Whether every request that arrived was answered."""
        return not self.in_body and not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _head_is_late(self) -> None:
        self.head_timer = None
        if self.in_head or self.unread_bytes:
            self._refuse(RequestRefused(408, "The headers did not arrive in time."))
        elif self._is_idle():
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def pause_writing(self) -> None:
        """Start the timer of a caller that does not read."""
        super().pause_writing()
        if self.unread_timer is None:
            self.unread_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer when the caller reads again."""
        if self.unread_timer is not None:
            self.unread_timer.cancel()
            self.unread_timer = None
        super().resume_writing()


def _refusal_of(error: httptools.HttpParserError) -> RequestRefused:
    """The refusal raised by a callback inside the parser, else that of a parser error."""
    cause = error.__context__
    return cause if isinstance(cause, RequestRefused) else RequestRefused(400, NOT_HTTP)


def _error_application(refused: RequestRefused) -> Any:
    """An ASGI application that gives one error answer to every request."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        from mlengine_project.http.errors import Answer
        from mlengine_project.http.limits import refuse

        details = {"request": [refused.message]}
        await refuse(scope, receive, send, Answer(refused.status, "ValidationError", refused.message, details))

    return answer
