"""OpenAPI schema: operations of all apps, and the errors each can answer."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

from modelregistry.evaluation.reports.as_json import SCHEMAS as REPORT_SCHEMAS

EXAMPLES = Path(__file__).with_name("examples.json")

TAGS = {
    "predictions": "predictions",
    "brackets": "predictions",
    "touches": "predictions",
    "track-record": "predictions",
    "signals": "signals",
    "markets": "market data",
    "candles": "market data",
    "indicators": "market data",
    "models": "models",
}
PAGE_FIELDS: dict[str, dict[str, Any]] = {
    "PaginatedCandleList": {
        "simulated": {"type": "boolean", "description": "Whether the prices are invented or replayed."}
    }
}
"""Fields of a page besides its rows and links."""
ERROR_NAMES = {
    "ValidationError": "400",
    "InvalidAPIKey": "401",
    "PermissionDenied": "403",
    "NotFound": "404",
    "MethodNotAllowed": "405",
    "MarketDisabled": "409",
    "PayloadTooLarge": "413",
    "UnsupportedMediaType": "415",
    "RateLimitExceeded": "429",
    "MLEngineError": "500",
    "PredictionError": "500",
    "FeatureError": "503",
    "MarketDataError": "503",
    "ModelLoadError": "503",
    "ModelNotFoundError": "503",
    "PredictionRefused": "503",
    "ServiceUnavailable": "503",
}
"""Error names with their status."""
STATUS_DESCRIPTIONS = {
    "400": "The input is not valid, or has a symbol, horizon, indicator, cursor or name that is not known.",
    "401": "No key, or not one of ours.",
    "403": "The key's scope does not allow this.",
    "404": "No such id.",
    "405": "The path does not know the method.",
    "409": "The market is known and switched off.",
    "413": "The body is over 256 KiB.",
    "415": "Bodies are JSON.",
    "429": "Too many requests of this key, or wrong keys from this address.",
    "500": "A fault of ours, in the log under the request id.",
    "503": "Refused with reasons, or a part the answer needs is away.",
}
ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Every error has this form.",
    "properties": {
        "error": {"$ref": "#/components/schemas/ErrorName"},
        "message": {"type": "string", "description": "The same in a sentence."},
        "path": {"type": "string", "description": "The path asked, without its query."},
        "request_id": {"type": "string", "description": "As in the `X-Request-ID` header and the log."},
        "details": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "For bad input: sentences by field.",
        },
        "reasons": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Reason"},
            "description": "For a refusal: codes, most important first.",
        },
    },
    "required": ["error", "message", "path", "request_id"],
}
COMPONENTS: dict[str, Any] = {
    "ErrorName": {"type": "string", "enum": list(ERROR_NAMES), "description": "The name of what is wrong."},
    "Error": ERROR,
    **REPORT_SCHEMAS,
}
REQUEST_ID = {
    "X-Request-ID": {
        "description": "Names this request in the log; one that was sent comes back.",
        "required": True,
        "schema": {"type": "string"},
    }
}
RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
BUCKET = {
    "RateLimit": {"description": "What is left: r requests for t seconds.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The limit: q requests in w seconds.", "schema": {"type": "string"}},
}
ALLOW = {"Allow": {"description": "Methods of the path.", "required": True, "schema": {"type": "string"}}}
CHALLENGE = {
    "WWW-Authenticate": {"description": "Names the header of the key.", "required": True, "schema": {"type": "string"}}
}
MARKET_PATHS = frozenset({"brackets", "touches", "candles", "indicators"})
"""Paths that require an enabled market for every method."""


class EngineSchema(AutoSchema):
    """Names and groups operations by their path."""

    def get_tags(self) -> list[str]:
        """Tag by the first word of the path."""
        return [TAGS.get(self.path.strip("/").split("/")[0], "operations")]

    def get_summary(self) -> str:
        """The first part of the description's first sentence."""
        return re.split(r"[.;:] |[.;:]$", self.get_description())[0]

    def get_operation_id(self) -> str:
        """`get_predictions_id` for GET /predictions/{id}."""
        words = re.findall(r"[A-Za-z0-9]+", self.path)
        return "_".join([self.method.lower(), *words])

    def get_override_parameters(self) -> list[Any]:
        """Query parameters of the action, declared by the view for validation and for the schema."""
        query = getattr(self.view, "queries", {}).get(getattr(self.view, "action", None))
        return [] if query is None else [query]


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add errors with headers, fields of pages, typed reports and examples."""
    schemas = result["components"].setdefault("schemas", {})
    schemas.update(COMPONENTS)
    for name, fields in PAGE_FIELDS.items():
        schemas[name]["properties"].update(fields)
        schemas[name]["required"] = [*schemas[name]["required"], *fields]
    for path, item in result["paths"].items():
        result["paths"][path] = item = dict(sorted(item.items()))  # noqa: PLW2901  # DRF returns them in no fixed order
        for method, operation in item.items():
            responses = operation["responses"]
            for media in operation.get("requestBody", {}).get("content", {}).values():
                # Bodies accept only the fields they name.
                schemas[media["schema"]["$ref"].rpartition("/")[2]]["additionalProperties"] = False
            for status in statuses_of(path, method, operation):
                responses.setdefault(
                    status,
                    {
                        "description": described(status),
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                    },
                )
            for status, response in responses.items():
                response["description"] = response["description"] or "The answer."
                response["headers"] = headers_of(path, status)
            operation["responses"] = dict(sorted(responses.items()))
            add_examples(operation)
    return result


def described(status: str) -> str:
    """Description of an error status, with its error names."""
    names = ", ".join(f"`{name}`" for name, its in ERROR_NAMES.items() if its == status)
    return f"{names}: {STATUS_DESCRIPTIONS[status]}"


def statuses_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    """The error statuses of one operation."""
    if not any(operation.get("security", [{}])):
        return ["405", "500"]
    found = ["400", "401", "403", "405", "429", "500", "503"]
    if "{" in path:
        found.append("404")
    if method == "post":
        found += ["413", "415"]
    names_market = path in {"/predictions", "/signals"} and method == "post"
    if names_market or (path.split("/")[1] in MARKET_PATHS and path != "/indicators/catalog"):
        found.append("409")
    return sorted(found)


def headers_of(path: str, status: str) -> dict[str, Any]:
    """Headers of an answer besides the standard ones of HTTP."""
    found: dict[str, Any] = dict(REQUEST_ID)
    if path.startswith("/predictions") and status not in {"401", "403", "405"}:
        found |= BUCKET
    of_status: dict[str, dict[str, Any]] = {"401": CHALLENGE, "405": ALLOW, "429": RETRY, "503": RETRY}
    return found | of_status.get(status, {})


def add_examples(operation: dict[str, Any]) -> None:
    """Add recorded examples of a request and its answer."""
    recorded = examples().get(operation["operationId"], {})
    if "request" in recorded and "requestBody" in operation:
        operation["requestBody"]["content"]["application/json"]["example"] = recorded["request"]
    for status, example in recorded.get("responses", {}).items():
        operation["responses"][status]["content"]["application/json"]["example"] = example


@lru_cache(maxsize=1)
def examples() -> dict[str, Any]:
    """Recorded requests and answers by operation (tests/mlengine_project/http/test_examples.py)."""
    found: dict[str, Any] = orjson.loads(EXAMPLES.read_bytes()) if EXAMPLES.exists() else {}
    return found


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, built once per process; it depends only on the code."""
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


@lru_cache(maxsize=1)
def schema_bytes() -> bytes:
    """The schema as YAML."""
    return bytes(OpenApiYamlRenderer().render(openapi_document(), renderer_context={}))


@lru_cache(maxsize=1)
def schema_json() -> bytes:
    """The schema as JSON."""
    return bytes(OpenApiJsonRenderer().render(openapi_document(), renderer_context={}))
