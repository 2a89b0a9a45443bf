"""Checks of host names and of the origin of forms.

Probes use the address: `/health*` and `/metrics` answer under any host name, and never use it in the answer.
"""

from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware

from mlengine_project.http.error_pages import error_response
from mlengine_project.http.errors import Answer

PROBE_PATHS = ("/health", "/metrics")
MAX_LOGGED_CHARACTERS = 100
HOST_NOT_ALLOWED = Answer(400, "ValidationError", "This host name is not one of ALLOWED_HOSTS.")
CROSS_SITE = Answer(403, "PermissionDenied", "The form was not sent from a page of this site; reload and try again.")

log = structlog.get_logger(__name__)


class AllowedHosts(CommonMiddleware):
    """Django's common middleware, with a host check that exempts probes and logs the reason of a refusal."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:  # type: ignore[override]
        """Refuse a host name that is not allowed."""
        if request.path_info.startswith(PROBE_PATHS):
            return None
        try:
            return super().process_request(request)
        except DisallowedHost:
            log.warning(
                "host_refused",
                host=loggable(host_header(request)),
                allowed_hosts=settings.ALLOWED_HOSTS,
                advice="add the host to ALLOWED_HOSTS; a name with an underscore cannot be a host name",
            )
            return error_response(request, HOST_NOT_ALLOWED)


def cross_site_refused(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW: the standard error, and a log line with the likely proxy misconfiguration."""
    origin, host = request.META.get("HTTP_ORIGIN", ""), host_header(request)
    advice = None
    if differ_only_in_port(origin, host):
        advice = "the proxy must pass the Host header with its port (nginx: proxy_set_header Host $http_host)"
    elif origin.startswith("https://") and not request.is_secure():
        advice = "the proxy must send X-Forwarded-Proto, and its network must be listed in TRUSTED_PROXY"
    log.warning(
        "cross_site_form_refused",
        path=request.path,
        origin=loggable(origin),
        host=loggable(host),
        reason=loggable(reason),
        advice=advice,
    )
    return error_response(request, CROSS_SITE)


def host_header(request: HttpRequest) -> str:
    """The Host header as received, '' when it is missing."""
    return str(request.META.get("HTTP_HOST", ""))


def differ_only_in_port(origin: str, host: str) -> bool:
    """Whether a page's origin and the requested host differ only in their port.

    >>> differ_only_in_port("https://a.example:8443", "a.example")
    True
    >>> differ_only_in_port("https://b.example", "a.example")
    False
    """
    try:
        came, requested = urlsplit(origin), urlsplit(f"//{host}")
        return bool(requested.hostname) and came.hostname == requested.hostname and came.port != requested.port
    except ValueError:
        return False


def loggable(text: str) -> str:
    """Client text for a log line: truncated, without control characters."""
    return text[:MAX_LOGGED_CHARACTERS].encode("unicode_escape").decode("ascii")
