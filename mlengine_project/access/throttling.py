"""One bucket per key for everything under /predictions."""

import math
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from mlengine_project.access.keys import Identity
from mlengine_project.access.windows import WINDOW_SECONDS, Take, window


def take_from_bucket(identity: Identity) -> Take | None:
    """Count one call of a key; None when there is no limit."""
    if settings.RATE_LIMIT <= 0:
        return None
    return window.take(f"predictions:{identity.key_id}", settings.RATE_LIMIT)


def limit_headers(take: Take) -> dict[str, str]:
    """What the caller is told about its bucket, in the words of the IETF draft."""
    reset = math.ceil(take.reset_seconds)
    return {
        "RateLimit": f'"predictions";r={take.remaining};t={reset}',
        "RateLimit-Policy": f'"predictions";q={settings.RATE_LIMIT};w={int(WINDOW_SECONDS)}',
    }


class BucketThrottle(BaseThrottle):
    """Counts the calls of views that name the bucket (`rate_bucket = "predictions"`)."""

    def __init__(self) -> None:
        self._take: Take | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Admit or refuse; the answer's headers are left on the request."""
        if getattr(view, "rate_bucket", None) is None or not isinstance(request.user, Identity):
            return True
        self._take = take_from_bucket(request.user)
        if self._take is None:
            return True
        request._request.rate_limit = self._take  # noqa: SLF001  # read by the middleware that writes headers
        return self._take.admitted

    def wait(self) -> float | None:
        """Seconds until a place is free."""
        return None if self._take is None else self._take.reset_seconds


class LimitHeaders:
    """Tells every counted caller what is left, on refusals and errors too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the headers when the request was counted."""
        response = self.get_response(request)
        take = getattr(request, "rate_limit", None)
        if take is not None:
            for name, value in limit_headers(take).items():
                response[name] = value
        return response
