"""Language and content policy of the console's pages; the API and the admin stay as they are."""

from collections.abc import Callable
from typing import Any

from csp.constants import NONCE, SELF
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers

APP = "console"
POLICY = {"script-src": [SELF, NONCE], "style-src": [SELF]}
"""No inline script and no inline style: the console's pages have none."""


class ConsolePages:
    """Middleware that translates the console's pages and forbids inline styles on them.

    The language is the one chosen on the page, else the browser's, else English.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, and leave the thread's language as it was."""
        with translation.override(translation.get_language()):
            response = self.get_response(request)
        if _is_console(request):
            response._csp_replace = POLICY  # type: ignore[attr-defined]  # noqa: SLF001
            response.headers.setdefault("Content-Language", getattr(request, "LANGUAGE_CODE", "en"))
            patch_vary_headers(response, ("Accept-Language", "Cookie"))  # type: ignore[arg-type]
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """Set the language once the address is known to be of the console."""
        if _is_console(request):
            use_language_of(request)


def use_language_of(request: HttpRequest) -> None:
    """Use the language of a request from here to its end."""
    language = translation.get_language_from_request(request)
    translation.activate(language)
    request.LANGUAGE_CODE = language  # type: ignore[attr-defined]


def _is_console(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.app_name == APP
