"""Structured logging and the request id shared by all lines of a request.

One line per event: JSON in production, coloured text on a terminal. Every line, those of libraries included,
passes the same processors and is redacted last.
"""

import logging
import re
import sys
from collections.abc import Callable
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

log = structlog.get_logger("mlengine.requests")


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


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formatter that renders an event and redacts secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Render and redact one line."""
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


def log_request(method: str, path: str, status: int, seconds: float, key_id: str = "") -> None:
    """Log one line per request: method, path, status and duration."""
    if path.startswith(UNLOGGED_PATHS) and status < 500 and seconds < SLOW_SECONDS:
        return
    path = shortened(path, MAX_PATH_CHARACTERS)
    log.info("request", method=method, path=path, status=status, ms=round(seconds * 1000, 1), key=key_id or None)


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
            caller = getattr(request, "api_caller", "")
            log_request(request.method or "", request.path, response.status_code, clock.monotonic() - started, caller)
        response["X-Request-ID"] = request_id
        return response
