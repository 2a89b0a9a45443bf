"""Mapping of exceptions to HTTP error answers: error, message, path, request_id.

Invalid input adds `details` by field, a refusal adds `reasons`. Tracebacks are never shown: an exception without
a mapping is a 500, and its traceback is logged under the same request id.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, InterfaceError
from django.http import Http404
from redis import RedisError
from rest_framework import exceptions as drf

from indicators.errors import FeatureError, MLEngineError, UnknownIndicator
from marketdata.errors import MarketDataError, MarketDisabled, UnknownSymbol
from mlengine_project.access.errors import InvalidAPIKey, KeyStoreUnavailable, TooManyWrongKeys
from modelregistry.errors import ModelLoadError, ModelNotFoundError
from predictions.errors import InvalidRequest, PredictionError, PredictionRefused
from signals.errors import SignalPending

log = structlog.get_logger(__name__)

DEFAULT_RETRY_SECONDS = 5
"""Default of `Retry-After`."""


class PayloadTooLarge(drf.APIException):
    """A request body over the limit."""

    status_code = 413
    default_detail = "The body is larger than 256 KiB."
    default_code = "payload_too_large"


@dataclass(frozen=True)
class Answer:
    """An error answer without its path and request id."""

    status: int
    error: str
    message: str
    details: dict[str, list[str]] | None = None
    reasons: list[str] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, path: str, request_id: str) -> dict[str, Any]:
        """The JSON object."""
        found: dict[str, Any] = {
            "error": self.error,
            "message": self.message,
            "path": path,
            "request_id": request_id,
        }
        if self.details is not None:
            found["details"] = self.details
        if self.reasons is not None:
            found["reasons"] = self.reasons
        return found


NAMED: tuple[tuple[type[MLEngineError], int, str], ...] = (
    (ModelNotFoundError, 503, "ModelNotFoundError"),
    (ModelLoadError, 503, "ModelLoadError"),
    (FeatureError, 503, "FeatureError"),
    (KeyStoreUnavailable, 503, "ServiceUnavailable"),
    (SignalPending, 503, "ServiceUnavailable"),
    (PredictionError, 500, "PredictionError"),
)
"""Engine errors that need only a status and a name."""

FIELDS: dict[type[MLEngineError], str] = {UnknownSymbol: "symbol", UnknownIndicator: "names"}
"""Errors of invalid input, with the field each is about."""


def answer_for(error: BaseException) -> Answer:  # noqa: C901, PLR0911  # one line per error
    """The error answer to any exception."""
    if isinstance(error, MLEngineError):
        return _engine_error(error)
    if isinstance(error, drf.APIException):
        return _framework_error(error)
    if isinstance(error, Http404):
        return Answer(404, "NotFound", "There is nothing here.")
    if isinstance(error, DjangoPermissionDenied):
        return Answer(403, "PermissionDenied", "You may not do that.")
    if isinstance(error, RequestDataTooBig):
        return Answer(413, "PayloadTooLarge", PayloadTooLarge.default_detail)
    if isinstance(error, TooManyFieldsSent):
        return _invalid({"query": [f"At most {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} parameters are read."]})
    if isinstance(error, SuspiciousOperation | RecursionError):
        return Answer(400, "ValidationError", "The request cannot be read.")
    if isinstance(error, DjangoValidationError):
        return _invalid({"request": error.messages})
    if isinstance(error, DatabaseError | InterfaceError):
        return _retryable(Answer(503, "ServiceUnavailable", "The database does not answer at the moment."))
    if isinstance(error, RedisError):
        return _retryable(Answer(503, "ServiceUnavailable", "Redis does not answer at the moment."))
    return Answer(500, "MLEngineError", "Internal error; see the log under this request id.")


def _engine_error(error: MLEngineError) -> Answer:  # noqa: PLR0911  # one line per error
    """Errors raised by the engine, whose messages may be shown to callers."""
    message = str(error)
    caller_field = FIELDS.get(type(error))
    if caller_field is not None:
        return Answer(400, "ValidationError", message, details={caller_field: [message]})
    match error:
        case InvalidAPIKey():
            return _key_error(message)
        case InvalidRequest():
            return Answer(400, "ValidationError", message, details=error.details)
        case TooManyWrongKeys():
            return Answer(429, "RateLimitExceeded", message, headers=_retry(error.retry_after_seconds))
        case MarketDisabled():
            return Answer(409, "MarketDisabled", message)
        case PredictionRefused():
            wait = _retry(error.retry_after_seconds)
            return Answer(503, "PredictionRefused", message, reasons=list(error.reasons), headers=wait)
    for kind, status, name in NAMED:
        if isinstance(error, kind):
            return _retryable(Answer(status, name, message))
    if isinstance(error, MarketDataError):
        return _retryable(Answer(503, "MarketDataError", message))
    return Answer(500, "MLEngineError", message)


def _framework_error(error: drf.APIException) -> Answer:  # noqa: PLR0911  # one line per error
    """Errors raised by DRF while it parses, authorises and dispatches a request."""
    match error:
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return _key_error()
        case drf.PermissionDenied():
            return Answer(403, "PermissionDenied", str(error.detail))
        case drf.NotFound():
            return Answer(404, "NotFound", "There is nothing here.")
        case drf.MethodNotAllowed():
            return Answer(405, "MethodNotAllowed", "This path does not know that method.")
        case drf.UnsupportedMediaType():
            return Answer(415, "UnsupportedMediaType", "Bodies are JSON; send Content-Type: application/json.")
        case drf.Throttled():
            wait = getattr(error, "wait", None) or 1
            return Answer(
                429, "RateLimitExceeded", f"Too many requests; retry in {math.ceil(wait)} s.", headers=_retry(wait)
            )
        case drf.ValidationError():
            return _invalid(sentences_of(error.detail))
        case drf.ParseError():
            return _invalid({"request": [str(error.detail)]})
        case PayloadTooLarge():
            return Answer(413, "PayloadTooLarge", str(error.detail))
    status = error.status_code
    return Answer(status, "ValidationError" if status < 500 else "MLEngineError", str(error.detail))


def sentences_of(detail: object) -> dict[str, list[str]]:
    """DRF's nested details by field; messages about a list item begin with its index.

    >>> sentences_of({"prices": {"1": ["A price is positive."]}, "side": ["Write one of buy, sell."]})
    {'prices': ['[1]: A price is positive.'], 'side': ['Write one of buy, sell.']}
    """
    if not isinstance(detail, dict):
        return {"request": [sentence for _, sentence in _flat(detail, "")]}
    return {
        str(name): [f"{place}: {sentence}" if place else sentence for place, sentence in _flat(inner, "")]
        for name, inner in detail.items()
    }


def _flat(detail: object, place: str) -> list[tuple[str, str]]:
    """Messages of one field, each with its position inside."""
    if isinstance(detail, dict):
        return [pair for key, inner in detail.items() for pair in _flat(inner, f"{place}[{key}]")]
    if isinstance(detail, list):
        return [pair for inner in detail for pair in _flat(inner, place)]
    return [(place, str(detail))]


def _invalid(details: dict[str, list[str]]) -> Answer:
    """Invalid input; the message is the first sentence with its field."""
    name, sentences = next(iter(details.items()), ("request", []))
    sentence = next(iter(sentences), "The request is not valid.")
    between = "" if sentence.startswith("[") else ": "
    message = sentence if name == "request" else f"{name}{between}{sentence}"
    return Answer(400, "ValidationError", message, details=details)


def _key_error(message: str = "") -> Answer:
    return Answer(401, "InvalidAPIKey", message or "Invalid API Key")


def _retry(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _retryable(answer: Answer) -> Answer:
    return Answer(
        answer.status,
        answer.error,
        answer.message,
        answer.details,
        answer.reasons,
        _retry(DEFAULT_RETRY_SECONDS) if answer.status == 503 else {},
    )
