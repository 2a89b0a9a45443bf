"""Every exception to its HTTP answer, in one form: error, message, path, request_id.

Bad input adds `details` by field, a refusal adds `reasons`. Nobody ever sees a stack trace: what has
no line here is a 500 with a sentence, and the trace goes to the log under the same request id.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, InterfaceError
from django.http import Http404
from redis import RedisError
from rest_framework import exceptions as drf

from indicators.errors import FeatureError, MLEngineError, UnknownIndicator
from marketdata.errors import MarketDataError, MarketDisabled, UnknownSymbol
from mlengine_project.access.errors import InvalidAPIKey, KeyStoreAway, TooManyWrongKeys
from modelregistry.errors import ModelLoadError, ModelNotFoundError
from predictions.errors import InvalidRequest, PredictionError, PredictionRefused
from signals.errors import SignalPending

log = structlog.get_logger(__name__)

SOON_SECONDS = 5
"""What `Retry-After` says when nothing better is known."""


class PayloadTooLarge(drf.APIException):
    """A body over the limit."""

    status_code = 413
    default_detail = "The body is larger than 256 KiB."
    default_code = "payload_too_large"


@dataclass(frozen=True)
class Answer:
    """An error as the caller will see it, before its path and request id are known."""

    status: int
    error: str
    message: str
    details: dict[str, Any] | None = None
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
    (KeyStoreAway, 503, "ServiceUnavailable"),
    (SignalPending, 503, "ServiceUnavailable"),
    (PredictionError, 500, "PredictionError"),
)
"""Our own errors that need no more than a status and a name."""

FIELDS: dict[type[MLEngineError], str] = {UnknownSymbol: "symbol", UnknownIndicator: "names"}
"""Errors that are the caller's: the field each is about."""


def answer_for(error: BaseException) -> Answer:  # noqa: PLR0911  # one line per error
    """The answer to any exception."""
    if isinstance(error, MLEngineError):
        return _ours(error)
    if isinstance(error, drf.APIException):
        return _framework(error)
    if isinstance(error, Http404):
        return Answer(404, "NotFound", "There is nothing here.")
    if isinstance(error, DjangoPermissionDenied):
        return Answer(403, "PermissionDenied", "You may not do that.")
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent):
        return Answer(413, "PayloadTooLarge", PayloadTooLarge.default_detail)
    if isinstance(error, SuspiciousOperation | RecursionError):
        return Answer(400, "ValidationError", "The request cannot be read.")
    if isinstance(error, DjangoValidationError):
        return Answer(400, "ValidationError", "The request is not valid.", details={"request": error.messages})
    if isinstance(error, DatabaseError | InterfaceError):
        return _soon(Answer(503, "ServiceUnavailable", "The database does not answer at the moment."))
    if isinstance(error, RedisError):
        return _soon(Answer(503, "ServiceUnavailable", "Redis does not answer at the moment."))
    return Answer(500, "MLEngineError", "Something went wrong on our side; the log has it under this request id.")


def _ours(error: MLEngineError) -> Answer:  # noqa: PLR0911  # one line per error
    """Errors this engine raises on purpose; their messages are fit to be shown."""
    message = str(error)
    caller_field = FIELDS.get(type(error))
    if caller_field is not None:
        return Answer(400, "ValidationError", message, details={caller_field: [message]})
    match error:
        case InvalidAPIKey():
            return _no_key()
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
            return _soon(Answer(status, name, message))
    if isinstance(error, MarketDataError):
        return _soon(Answer(503, "MarketDataError", message))
    return Answer(500, "MLEngineError", message)


def _framework(error: drf.APIException) -> Answer:  # noqa: PLR0911  # one line per error
    """What DRF raises while it reads, admits and dispatches a request."""
    match error:
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return _no_key()
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
            details = error.detail if isinstance(error.detail, dict) else {"request": error.detail}
            return Answer(400, "ValidationError", _first_sentence(details), details=details)
        case drf.ParseError():
            sentence = str(error.detail)
            return Answer(400, "ValidationError", sentence, details={"request": [sentence]})
        case PayloadTooLarge():
            return Answer(413, "PayloadTooLarge", str(error.detail))
    status = error.status_code
    return Answer(status, "ValidationError" if status < 500 else "MLEngineError", str(error.detail))


def _first_sentence(details: Any, name: str = "") -> str:
    """`horizon: A valid integer is required.` out of DRF's nested details."""
    if isinstance(details, dict) and details:
        key, inner = next(iter(details.items()))
        return _first_sentence(inner, str(key))
    if isinstance(details, list) and details:
        return _first_sentence(details[0], name)
    return f"{name}: {details}" if name and name != "request" else str(details)


def _no_key() -> Answer:
    return Answer(401, "InvalidAPIKey", "Invalid API Key")


def _retry(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _soon(answer: Answer) -> Answer:
    return Answer(
        answer.status,
        answer.error,
        answer.message,
        answer.details,
        answer.reasons,
        _retry(SOON_SECONDS) if answer.status == 503 else {},
    )
