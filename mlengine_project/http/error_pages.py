"""Error handlers of DRF and Django, and the middleware behind both."""

from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils import translation
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response

from mlengine_project.http.errors import Answer, answer_for
from mlengine_project.http.json_codec import write_json
from mlengine_project.operations.logs.redaction import shortened
from mlengine_project.operations.logs.structured import MAX_PATH_CHARACTERS

log = structlog.get_logger(__name__)


def rest_exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: converts any exception of a view to a response."""
    request = context["request"]
    answer = answer_for(error)
    report(error, answer, request.path)
    response = Response(answer.body(request.path, request_id_of(request)), status=answer.status)
    for name, value in answer.headers.items():
        response[name] = value
    if answer.status == 401:
        response["WWW-Authenticate"] = 'ApiKey realm="ml-engine", header="X-API-Key"'
    response.exception = True
    return response


def response_to(request: HttpRequest, error: BaseException) -> HttpResponseBase:
    """The response to an exception outside DRF: JSON for programs, a page for browsers."""
    answer = answer_for(error)
    report(error, answer, request.path)
    return error_response(request, answer)


def error_response(request: HttpRequest, answer: Answer) -> HttpResponseBase:
    """The response of an error answer."""
    body = answer.body(request.path, request_id_of(request))
    if prefers_html(request):
        with translation.override(translation.get_language_from_request(request)):
            # Messages of the engine are in English; the fixed ones have a translation.
            shown = translation.gettext(answer.message)
            context = {**body, "message": shown, "is_translated": shown != answer.message, "status": answer.status}
            return SimpleTemplateResponse("surface/error.html", context, status=answer.status).render()
    return HttpResponse(write_json(body), content_type="application/json", status=answer.status, headers=answer.headers)


def report(error: BaseException, answer: Answer, path: str) -> None:
    """Log server errors, with the traceback for internal ones."""
    shown = shortened(path, MAX_PATH_CHARACTERS)
    if answer.status == 500:
        log.error("request_failed", path=shown, error=type(error).__name__, exc_info=error)
    elif answer.status >= 502 and answer.reasons is None:  # a refusal with reasons is not a failure
        log.warning(
            "request_unavailable",
            path=shown,
            error=type(error).__name__,
            message=str(error),
        )


def request_id_of(request: object) -> str:
    """The request id set by the middleware."""
    return str(getattr(getattr(request, "_request", request), "request_id", ""))


def prefers_html(request: HttpRequest) -> bool:
    """Whether the request is a browser navigation rather than a program's."""
    return "text/html" in request.META.get("HTTP_ACCEPT", "") and "HTTP_X_API_KEY" not in request.META


class ErrorResponses:
    """Middleware that converts every exception of a view to a response, also with DEBUG."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase:
        """Django's hook for an exception of a view."""
        return response_to(request, error)


class PlainExceptionReporter(ExceptionReporter):
    """Replaces Django's debug page with the answer given without DEBUG; the traceback is logged."""

    def get_traceback_html(self) -> SafeString:
        """The answer as JSON; the traceback is in the log."""
        return self.get_traceback_text()

    def get_traceback_text(self) -> SafeString:
        """The answer as JSON."""
        answer = answer_for(self.exc_value or Exception())
        path, request_id = (self.request.path, request_id_of(self.request)) if self.request else ("", "")
        return SafeString(write_json(answer.body(path, request_id)).decode())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400."""
    return error_response(request, Answer(400, "ValidationError", "The request cannot be read."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    return error_response(request, Answer(403, "PermissionDenied", "You may not do that."))


@csrf_exempt  # the same answer to every method, so there is nothing to protect
def not_found(request: HttpRequest, exception: Exception | None = None, **_: Any) -> HttpResponseBase:
    """Django's handler404, and the view of every unknown path."""
    return error_response(request, Answer(404, "NotFound", "There is nothing here."))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500."""
    return error_response(request, answer_for(Exception()))
