"""Middleware for conditional reads: every JSON answer has an ETag of its content, and 304 answers an equal one.

The content holds revisions, outcomes and champions, so the ETag changes with each of them. `no-cache` makes callers ask
each time; `private` keeps answers to one key out of shared caches.
"""

from collections.abc import Callable
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.response import Response

from mlengine_project.http.direct_reads import etag_of

CACHE_CONTROL = "private, no-cache"


class Revalidation:
    """Middleware behind all others that write headers, so that a 304 has them too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Mark answers of the REST API, and answer 304 where the caller has the same."""
        response = self.get_response(request)
        is_read = request.method in {"GET", "HEAD"} and response.status_code == 200
        if not is_read or not isinstance(response, Response):
            return response
        response.headers.setdefault("Cache-Control", CACHE_CONTROL)
        response.headers.setdefault("ETag", etag_of(response.content))
        return cast("HttpResponse", get_conditional_response(request, etag=response["ETag"], response=response))
