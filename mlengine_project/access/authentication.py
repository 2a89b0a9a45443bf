"""Who is calling, as DRF asks it: the `X-API-Key` header, and the scraper's bearer token."""

import hmac

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.access.services import count_wrong_key, identify


class KeyAuthentication(BaseAuthentication):
    """A caller is known by the key in the `X-API-Key` header, and by nothing else."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        """The holder of the key; no header means nobody."""
        secret = request.META.get("HTTP_X_API_KEY", "")
        if not secret:
            return None
        identity = identify(secret, request.META.get("REMOTE_ADDR") or "unknown")
        request._request.api_caller = identity.key_id  # type: ignore[attr-defined]  # noqa: SLF001  # for the log line
        return identity, identity

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'ApiKey realm="ml-engine", header="X-API-Key"'


class MetricsTokenAuthentication(BaseAuthentication):
    """Prometheus may show the bearer METRICS_TOKEN instead of a key."""

    def authenticate(self, request: Request) -> tuple[Identity, Identity] | None:
        """A scraper with the right token; anything else is left to the key."""
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        wanted = settings.METRICS_TOKEN
        if scheme.lower() != "bearer" or not wanted:
            return None
        if not hmac.compare_digest(token.strip().encode("utf-8", "surrogatepass"), wanted.encode()):
            if not request.META.get("HTTP_X_API_KEY"):  # a valid key beside it is never held back
                count_wrong_key(request.META.get("REMOTE_ADDR"))
            return None
        scraper = Identity("metrics-token", "metrics token", Scope.READ)
        return scraper, scraper


class KeyScheme(OpenApiAuthenticationExtension):
    """How the schema names the key."""

    target_class = "mlengine_project.access.authentication.KeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """A header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "A key made with `manage.py create_api_key` or in the admin. "
            "Scopes nest: `admin` includes `predict`, `predict` includes `read`.",
        }


class MetricsTokenScheme(OpenApiAuthenticationExtension):
    """How the schema names the scraper's token."""

    target_class = "mlengine_project.access.authentication.MetricsTokenAuthentication"
    name = "MetricsToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "description": "The value of METRICS_TOKEN."}
