"""Structured logging and the request id shared by all lines of a request.

One line per event: JSON in production, coloured text on a terminal. Every line, those of libraries included,
passes the same processors and is redacted last.
"""

import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse

from marketdata import clock
from mlengine_project.operations.logs.redaction import redact, shortened

WELL_FORMED = re.compile(r"[A-Za-z0-9._:-]{1,64}")
UNLOGGED_PATHS = ("/health", "/metrics", "/static/")
"""Paths requested every few seconds by probes, which are not logged."""
SLOW_SECONDS = 1.0
MAX_PATH_CHARACTERS = 256
"""Characters of a path in a log line; a URL may have sixteen thousand."""

REQUESTS = logging.getLogger("mlengine.requests")
ROOT = logging.getLogger()


def shared_processors() -> list[Any]:
    """Processors of every event, of the engine and of libraries."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def cut_values(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Truncate every long text of an event, since callers choose its length."""
    return {name: shortened(value) if isinstance(value, str) else value for name, value in event.items()}


class RequestEvent(dict[str, Any]):
    """The event of one request, whose values were shortened and redacted before."""

    def as_json(self) -> str:
        """The same JSON line as by the processors of `formatter`, in a tenth of their time."""
        key = "null" if self["key"] is None else f'"{self["key"]}"'
        request_id = f', "request_id": "{self["request_id"]}"' if "request_id" in self else ""
        return (
            f'{{"method": {quoted(self["method"])}, "path": {quoted(self["path"])}, "status": {self["status"]}, '
            f'"ms": {self["ms"]}, "key": {key}, "event": "request"{request_id}, "logger": "mlengine.requests", '
            f'"level": "info", "timestamp": "{self["timestamp"]}"}}'
        )


@lru_cache(maxsize=256)
def quoted(text: str) -> str:
    """A text as JSON, remembered for methods and paths that repeat."""
    return json.dumps(text)


class LineHandler(logging.StreamHandler[Any]):
    """Handler of the log that also takes finished lines."""

    def write_line(self, line: str) -> None:
        """Write a line that needs no record."""
        with self.lock or nullcontext():
            self.stream.write(line + self.terminator)
            self.flush()


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formatter that renders an event and redacts secrets, tracebacks included."""

    def __init__(self, *, pretty: bool, **options: Any) -> None:
        super().__init__(**options)
        self.pretty = pretty

    def format(self, record: logging.LogRecord) -> str:
        """Render and redact one line."""
        if isinstance(record.msg, RequestEvent) and not self.pretty:
            return record.msg.as_json()
        return redact(super().format(record))


class WithoutTraceback(logging.Filter):
    """Filter that writes an exception into the message instead of a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; no record is dropped."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", ()
            record.exc_info = None
        return True


def formatter(pretty: bool) -> RedactingFormatter:
    """The formatter of the log handler, called by `logging.config`."""
    last: list[Any] = (
        [
            cut_values,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if pretty
        else [structlog.processors.format_exc_info, cut_values, structlog.processors.JSONRenderer(default=str)]
    )
    return RedactingFormatter(
        pretty=pretty,
        foreign_pre_chain=shared_processors(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def configure_structlog() -> None:
    """Send structlog's events through the standard library, so that there is one handler."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def request_id_from(given: str | None) -> str:
    """The request id sent by the caller when it is well formed, else a new one.

    >>> request_id_from("job-17")
    'job-17'
    """
    if given and WELL_FORMED.fullmatch(given):
        return given
    return clock.new_id().hex


def log_request(
    method: str, path: str, status: int, seconds: float, key_id: str = "", request_id: str | None = None
) -> None:
    """Log one line per request: method, path, status and duration; without a logger's processors, for speed."""
    if path.startswith(UNLOGGED_PATHS) and status < 500 and seconds < SLOW_SECONDS:
        return
    if not REQUESTS.isEnabledFor(logging.INFO):
        return
    event = RequestEvent(
        method=method,
        path=loggable_path(path),
        status=status,
        ms=round(seconds * 1000, 1),
        key=key_id or None,
        event="request",
    )
    if request_id is not None:
        event["request_id"] = loggable_request_id(request_id)
    second, milliseconds = divmod(clock.wall_ms(), 1000)
    event["logger"], event["level"] = REQUESTS.name, "info"
    event["timestamp"] = f"{text_of_second(second)}.{milliseconds:03}000Z"
    handler = only_handler()
    if handler is not None:
        handler.write_line(event.as_json())
        return
    record = logging.LogRecord(REQUESTS.name, logging.INFO, "", 0, event, None, None)
    record._logger, record._name = None, "info"  # type: ignore[attr-defined]  # noqa: SLF001  # as structlog's own
    REQUESTS.handle(record)


def only_handler() -> LineHandler | None:
    """The handler of JSON lines, where requests have no other and no record is needed."""
    handlers = ROOT.handlers
    if len(handlers) != 1 or REQUESTS.handlers or REQUESTS.filters or not isinstance(handlers[0], LineHandler):
        return None
    formatter = handlers[0].formatter
    is_json = isinstance(formatter, RedactingFormatter) and not formatter.pretty
    return handlers[0] if is_json and REQUESTS.propagate else None


@lru_cache(maxsize=2)
def text_of_second(second: int) -> str:
    """A second since 1970 in ISO 8601 without a zone.

    >>> text_of_second(1_659_312_000)
    '2022-08-01T00:00:00'
    """
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@lru_cache(maxsize=256)
def loggable_path(path: str) -> str:
    """A path shortened and without secrets."""
    return redact(shortened(path, MAX_PATH_CHARACTERS))


def loggable_request_id(request_id: str) -> str:
    """A request id without secrets; those made here hold none."""
    return request_id if len(request_id) == 32 and request_id.isalnum() else redact(request_id)


class RequestIdMiddleware:
    """Middleware that gives every request an id (`X-Request-ID` when well formed) and logs its end."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Bind the id to all lines logged during the request, and return it in the response."""
        started = clock.monotonic()
        request_id = request_id_from(request.META.get("HTTP_X_REQUEST_ID"))
        request.request_id = request_id  # type: ignore[attr-defined]
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        caller, seconds = getattr(request, "api_caller", ""), clock.monotonic() - started
        log_request(request.method or "", request.path, response.status_code, seconds, caller, request_id)
        response["X-Request-ID"] = request_id
        return response
