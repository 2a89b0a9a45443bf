"""Which methods a path answers: `Allow` names them, `OPTIONS` answers them, `HEAD` comes with every `GET`."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from mlengine_project.error_pages import rendered
from mlengine_project.errors import Answer

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def allow(*methods: str) -> Callable[[View], View]:
    """Declare the methods of a page."""

    def declared(view: View) -> View:
        view.allowed_methods = methods  # type: ignore[attr-defined]
        return view

    return declared


def allowed_methods(view: Any) -> tuple[str, ...]:
    """What a view answers, `HEAD` and `OPTIONS` included; empty for views that declare nothing (the admin's)."""
    declared = getattr(view, "allowed_methods", None) or getattr(view, "actions", None) or ()
    methods = dict.fromkeys(method.upper() for method in declared)
    if not methods:
        return ()
    return tuple(methods | dict.fromkeys(["HEAD"] if "GET" in methods else []) | dict.fromkeys(["OPTIONS"]))


class AllowedMethods:
    """Answers `OPTIONS` for everybody, and 405 where a page has another method, before forms are checked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> HttpResponseBase | None:
        """Django's hook in front of a view; methods of REST views are refused behind their key."""
        methods = allowed_methods(view)
        if not methods:
            return None
        if request.method == "OPTIONS":
            response: HttpResponseBase = HttpResponse(headers={"Allow": ", ".join(methods)})
            del response["Content-Type"]
            return response
        if request.method in methods or not hasattr(view, "allowed_methods"):
            return None
        response = rendered(request, Answer(405, "MethodNotAllowed", "This path does not know that method."))
        response["Allow"] = ", ".join(methods)
        return response
