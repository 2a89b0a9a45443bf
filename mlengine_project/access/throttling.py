"""Rate limit of /predictions: one bucket per key."""

import math
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from mlengine_project.access.keys import Identity
from mlengine_project.access.sliding_window import WINDOW_SECONDS, WindowResult, window


def take_from_bucket(identity: Identity) -> WindowResult | None:
    """Count one call of a key; None when there is no limit."""
    if settings.RATE_LIMIT <= 0:
        return None
    return window.take(f"predictions:{identity.key_id}", settings.RATE_LIMIT)


def take_from_reserved(identity: Identity) -> WindowResult | None:
    """Count one call of a key without I/O; None when the shared counter has to be asked."""
    return window.take_reserved(f"predictions:{identity.key_id}", settings.RATE_LIMIT)


def limit_headers(take: WindowResult) -> dict[str, str]:
    """Rate limit headers of a response, as in the IETF draft."""
    reset = math.ceil(take.reset_seconds)
    return {
        "RateLimit": f'"predictions";r={take.remaining};t={reset}',
        "RateLimit-Policy": f'"predictions";q={settings.RATE_LIMIT};w={int(WINDOW_SECONDS)}',
    }


class BucketThrottle(BaseThrottle):
    """DRF throttle of views that name a bucket (`rate_bucket = "predictions"`)."""

    def __init__(self) -> None:
        self._take: WindowResult | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Admit or refuse the call; the result is set on the request for `LimitHeaders`."""
        if getattr(view, "rate_bucket", None) is None or not isinstance(request.user, Identity):
            return True
        self._take = take_from_bucket(request.user)
        if self._take is None:
            return True
        request._request.rate_limit = self._take  # noqa: SLF001  # read by the middleware that writes headers
        return self._take.admitted

    def wait(self) -> float | None:
        """Seconds until the next call is admitted."""
        return None if self._take is None else self._take.reset_seconds


class LimitHeaders:
    """Middleware that adds the rate limit headers to every counted response, errors included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the headers if the request was counted."""
        response = self.get_response(request)
        take = getattr(request, "rate_limit", None)
        if take is not None:
            for name, value in limit_headers(take).items():
                response[name] = value
        return response
