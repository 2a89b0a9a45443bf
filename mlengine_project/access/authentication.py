"""DRF authentication by the `X-API-Key` header, and by the scraper's bearer token."""

import hmac

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from mlengine_project.access.errors import InvalidAPIKey
from mlengine_project.access.keys import KEY_PREFIX, Identity
from mlengine_project.access.models import Scope
from mlengine_project.access.services import count_wrong_key, identify

HEADER_HINT = "a key is sent in the X-API-Key header"
KEY_NAMES = frozenset({"api_key", "apikey", "x_api_key", "key", "token", "access_token"})
"""Query names under which programs send a key."""


class KeyAuthentication(BaseAuthentication):
    """Authentication by the key in the `X-API-Key` header only."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        """The holder of the key; None without the header."""
        secret = request.META.get("HTTP_X_API_KEY", "")
        if not secret:
            if hint := misplaced_key_hint(request):
                raise InvalidAPIKey(hint)
            return None
        identity = identify(secret, request.META.get("REMOTE_ADDR") or "unknown")
        request._request.api_caller = identity.key_id  # type: ignore[attr-defined]  # noqa: SLF001  # for the log line
        return identity, identity

    def authenticate_header(self, request: Request) -> str:
        """The `WWW-Authenticate` header of a 401."""
        return 'ApiKey realm="ml-engine", header="X-API-Key"'


def misplaced_key_hint(request: Request) -> str:
    """Hint for a key sent outside its header; empty when there is none."""
    if request.META.get("HTTP_AUTHORIZATION"):
        return f"{HEADER_HINT}, not in Authorization."
    query = request.query_params
    if any(name.lower().replace("-", "_") in KEY_NAMES for name in query) or any(
        value.startswith(KEY_PREFIX) for values in query.lists() for value in values[1]
    ):
        return f"{HEADER_HINT}, not in the address, where it is logged; create a new one if it was real."
    return ""


class MetricsTokenAuthentication(BaseAuthentication):
    """Authentication of Prometheus by the bearer METRICS_TOKEN instead of a key."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        """The scraper's identity for the right token; None leaves other requests to `KeyAuthentication`."""
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        token_setting = settings.METRICS_TOKEN
        if scheme.lower() != "bearer" or not token_setting:
            return None
        if not hmac.compare_digest(token.strip().encode("utf-8", "surrogatepass"), token_setting.encode()):
            if not request.META.get("HTTP_X_API_KEY"):  # a valid key sent with it is never limited
                count_wrong_key(request.META.get("REMOTE_ADDR"))
            return None
        scraper = Identity("metrics-token", "metrics token", Scope.READ)
        return scraper, scraper


class KeyScheme(OpenApiAuthenticationExtension):
    """OpenAPI description of the API key."""

    target_class = "mlengine_project.access.authentication.KeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """An API key in a header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "A key made with `manage.py create_api_key` or in the admin. "
            "Scopes nest: `admin` includes `predict`, `predict` includes `read`.",
        }


class MetricsTokenScheme(OpenApiAuthenticationExtension):
    """OpenAPI description of the scraper's token."""

    target_class = "mlengine_project.access.authentication.MetricsTokenAuthentication"
    name = "MetricsToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "description": "The value of METRICS_TOKEN."}
