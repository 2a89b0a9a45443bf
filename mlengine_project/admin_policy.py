"""The admin theme evaluates expressions in attributes; its pages, and only they, may."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from mlengine_project.surface import ADMIN_SCRIPT_SOURCES


class AdminPagePolicy:
    """Replaces the script rule of the content policy under /admin/."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Mark the response for the policy middleware around this one."""
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_replace = {"script-src": ADMIN_SCRIPT_SOURCES}  # type: ignore[attr-defined]  # noqa: SLF001
        return response
