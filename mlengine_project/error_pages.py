"""Where errors become responses: DRF's handler, Django's handlers, and the last resort behind both."""

from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response

from mlengine_project.errors import Answer, answer_for
from mlengine_project.operations.logging import MAX_PATH_CHARACTERS
from mlengine_project.operations.redaction import shortened
from mlengine_project.wire import write_json

log = structlog.get_logger(__name__)


def rest_exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook: any exception of a view to its answer."""
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
    """The same answer outside DRF: JSON for programs, a page for people."""
    answer = answer_for(error)
    report(error, answer, request.path)
    return rendered(request, answer)


def rendered(request: HttpRequest, answer: Answer) -> HttpResponseBase:
    """An answer as a response."""
    body = answer.body(request.path, request_id_of(request))
    if wants_page(request):
        page = SimpleTemplateResponse("surface/error.html", body, status=answer.status)
        return page.render()
    return HttpResponse(write_json(body), content_type="application/json", status=answer.status, headers=answer.headers)


def report(error: BaseException, answer: Answer, path: str) -> None:
    """Log server errors, with the traceback for internal ones."""
    shown = shortened(path, MAX_PATH_CHARACTERS)
    if answer.status == 500:
        log.error("request_failed", path=shown, error=type(error).__name__, exc_info=error)
    elif answer.status >= 502 and answer.reasons is None:  # a refusal is an answer
        log.warning(
            "request_unavailable",
            path=shown,
            error=type(error).__name__,
            message=str(error),
        )


def request_id_of(request: Any) -> str:
    """The id the middleware gave this request."""
    return str(getattr(getattr(request, "_request", request), "request_id", ""))


def wants_page(request: HttpRequest) -> bool:
    """A browser that came by a link, not a program asking for JSON."""
    return "text/html" in request.META.get("HTTP_ACCEPT", "") and "HTTP_X_API_KEY" not in request.META


class AnswerEveryError:
    """Turns what any view raises into an answer, also while DEBUG is on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase:
        """Django's hook for an exception of a view."""
        return response_to(request, error)


class PlainReporter(ExceptionReporter):
    """What Django's debug page shows here: the same answer as without DEBUG. The trace is in the log."""

    def get_traceback_html(self) -> SafeString:
        """The answer as JSON; a person debugging reads the log."""
        return self.get_traceback_text()

    def get_traceback_text(self) -> SafeString:
        """The answer as JSON."""
        answer = answer_for(self.exc_value or Exception())
        path, request_id = (self.request.path, request_id_of(self.request)) if self.request else ("", "")
        return SafeString(write_json(answer.body(path, request_id)).decode())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400."""
    return rendered(request, Answer(400, "ValidationError", "The request cannot be read."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    return rendered(request, Answer(403, "PermissionDenied", "You may not do that."))


@csrf_exempt  # the same answer to every method: there is nothing to protect
def not_found(request: HttpRequest, exception: Exception | None = None, **_: Any) -> HttpResponseBase:
    """Django's handler404, and the view of every path nobody else has."""
    return rendered(request, Answer(404, "NotFound", "There is nothing here."))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500."""
    return rendered(request, answer_for(Exception()))
