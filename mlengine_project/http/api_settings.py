"""Settings of the API: REST, its schema, CORS, content security policy, logging."""

from typing import Any

from csp.constants import NONCE, NONE, SELF

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["mlengine_project.access.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [
        "mlengine_project.http.permissions.HasScope",
        "mlengine_project.http.permissions.KnownQueryNames",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["mlengine_project.access.throttling.BucketThrottle"],
    "DEFAULT_PARSER_CLASSES": ["mlengine_project.http.json_codec.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["mlengine_project.http.json_codec.PlainJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "mlengine_project.http.json_codec.JSONOnlyNegotiation",
    "DEFAULT_PAGINATION_CLASS": "mlengine_project.http.paging.SignedCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "mlengine_project.http.schema.EngineSchema",
    "EXCEPTION_HANDLER": "mlengine_project.http.error_pages.rest_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "DATETIME_FORMAT": "iso-8601",
    "NON_FIELD_ERRORS_KEY": "request",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "ML Engine",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Price ranges, bracket probabilities and trading signals from closed 5-minute candles.\n\n"
        "Times are UTC, ISO 8601 with `Z`; `candle_time` is the candle's open. Prices are decimal strings with "
        "8 places, probabilities and ratios are numbers. Lists are `{next, previous, results}`. Every error is "
        "`{error, message, path, request_id}`, bad input adds `details`, a refusal adds `reasons`."
    ),
    "LICENSE": {"name": "MIT"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVERS": [{"url": "/", "description": "The engine this schema comes from."}],
    "COMPONENT_SPLIT_REQUEST": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATIONS": False,
    "SCHEMA_PATH_PREFIX": "",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "mlengine_project.http.schema.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "JobState": "mlengine_project.operations.models.Job.State",
        "TrainingKind": ["training"],
        "BackfillKind": ["backfill"],
        "BootstrapKind": ["bootstrap"],
        "RetentionKind": ["retention"],
        "ModelKind": "modelregistry.models.Kind",
        "ModelStage": "modelregistry.models.ModelVersion.Stage",
        "Source": "marketdata.models.Source",
        "Health": "mlengine_project.operations.api.serializers.HEALTH",
        "AliveStatus": ["healthy"],
        "ReadyStatus": ["ready", "not ready"],
        "Interval": "marketdata.intervals.INTERVALS",
        "StoredInterval": "marketdata.api.serializers.STORED_INTERVALS",
        "MarketStatus": "marketdata.api.serializers.MARKET_STATUSES",
        "CandleOrigin": "marketdata.models.Candle.Origin",
        "Reason": "predictions.api.serializers.REASONS",
        "Side": "predictions.api.serializers.SIDES",
        "SignalType": "signals.models.SignalLog.Type",
        "SignalOutcome": "signals.models.SignalLog.Outcome",
    },
    "TAGS": [
        {"name": "predictions", "description": "What the champions expect, and whether they were right."},
        {"name": "signals", "description": "The one answer to each closed candle."},
        {"name": "market data", "description": "Markets, closed candles, indicators."},
        {"name": "models", "description": "Who answers, and how good it is."},
        {"name": "operations", "description": "Health, metrics, jobs, tickets."},
    ],
}

CORS_ALLOW_HEADERS = ("x-api-key", "x-request-id", "idempotency-key", "content-type")
CORS_ALLOW_METHODS = ("GET", "POST", "OPTIONS")
CORS_EXPOSE_HEADERS = ("Retry-After", "RateLimit", "X-Request-ID")
CORS_URLS_REGEX = r"^/(?!admin/)"
CORS_PREFLIGHT_MAX_AGE = 600

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        # Swagger, Redoc and the charts set styles from script; styles cannot send data to another origin.
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
ADMIN_SCRIPT_SOURCES = [SELF, NONCE, "'unsafe-eval'"]
"""Script sources of the admin pages, whose theme evaluates expressions in attributes."""


LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


def logging_of(level: str, pretty: bool) -> dict[str, Any]:
    """Logging configuration: one handler and format for the engine and all libraries.

    An unknown level is INFO, and reported by the system checks.
    """
    level = level if level in LEVELS else "INFO"
    warnings_only = {"level": "WARNING", "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "mlengine_project.operations.logs.structured.formatter", "pretty": pretty}},
        "filters": {"without_trace": {"()": "mlengine_project.operations.logs.structured.WithoutTraceback"}},
        "handlers": {
            "stderr": {"class": "mlengine_project.operations.logs.structured.LineHandler", "formatter": "line"}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # The engine logs one line per request itself, with the request id.
            "django.request": {"level": "CRITICAL", "propagate": True},
            "django.security.csrf": {"level": "CRITICAL", "propagate": True},
            "uvicorn.access": warnings_only,
            "channels_redis.pubsub": {"filters": ["without_trace"]},
            "httpx": warnings_only,
            "asyncio": warnings_only,
            "daphne": warnings_only,
        },
    }
