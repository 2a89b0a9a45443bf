"""Allowed methods of a path, for the `Allow` header and `OPTIONS`; `GET` includes `HEAD`."""

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from mlengine_project.http.error_pages import error_response
from mlengine_project.http.errors import Answer

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def allow(*methods: str) -> Callable[[View], View]:
    """Declare the methods of a view."""

    def declared(view: View) -> View:
        view.allowed_methods = methods  # type: ignore[attr-defined]
        return view

    return declared


def allowed_methods(view: object) -> tuple[str, ...]:
    """Methods of a view, with `HEAD` and `OPTIONS`; empty for views that declare none (the admin's)."""
    declared = getattr(view, "allowed_methods", None) or getattr(view, "actions", None) or ()
    methods = dict.fromkeys(method.upper() for method in declared)
    if not methods:
        return ()
    return tuple(methods | dict.fromkeys(["HEAD"] if "GET" in methods else []) | dict.fromkeys(["OPTIONS"]))


class AllowedMethods:
    """Middleware that answers `OPTIONS` without a key, and 405 before forms are checked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, _args: object, _kwargs: object
    ) -> HttpResponseBase | None:
        """Django's hook before a view; REST views check their methods after the key."""
        methods = allowed_methods(view)
        if not methods:
            return None
        if request.method == "OPTIONS":
            response: HttpResponseBase = HttpResponse(headers={"Allow": ", ".join(methods)})
            del response["Content-Type"]
            return response
        if request.method in methods or not hasattr(view, "allowed_methods"):
            return None
        response = error_response(request, Answer(405, "MethodNotAllowed", "This path does not know that method."))
        response["Allow"] = ", ".join(methods)
        return response
