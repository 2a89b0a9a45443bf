"""The OpenAPI schema: how views of every app appear in it, and the errors each of them can answer."""

import re
from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiYamlRenderer

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
ERROR = {
    "type": "object",
    "description": "Every error has this form.",
    "properties": {
        "error": {"type": "string", "description": "The name of what is wrong.", "example": "ValidationError"},
        "message": {"type": "string", "description": "The same in a sentence."},
        "path": {"type": "string", "description": "The path asked, without its query."},
        "request_id": {"type": "string", "description": "As in the `X-Request-ID` header and the log."},
        "details": {
            "type": "object",
            "additionalProperties": {},
            "description": "By field, for bad input.",
        },
        "reasons": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Codes, most important first, for a refusal.",
        },
    },
    "required": ["error", "message", "path", "request_id"],
}
RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
WORDS = {
    "400": "ValidationError: the input is not valid, or names a symbol, horizon, indicator or cursor nobody knows.",
    "401": "InvalidAPIKey: no key, or not one of ours.",
    "403": "PermissionDenied: the key's scope does not allow this.",
    "404": "NotFound: no such id.",
    "405": "MethodNotAllowed.",
    "409": "MarketDisabled: the market is known and switched off.",
    "413": "PayloadTooLarge: the body is over 256 KiB.",
    "415": "UnsupportedMediaType: bodies are JSON.",
    "429": "RateLimitExceeded.",
    "500": "MLEngineError: a fault of ours, in the log under the request id.",
    "503": "PredictionRefused (with reasons), or a part the answer needs is away.",
}


class EngineSchema(AutoSchema):
    """Names and groups operations by their path."""

    def get_tags(self) -> list[str]:
        """By the first word of the path."""
        return [TAGS.get(self.path.strip("/").split("/")[0], "operations")]

    def get_summary(self) -> str:
        """The first part of the description's first sentence."""
        return re.split(r"[.;:] |[.;:]$", self.get_description())[0]

    def get_operation_id(self) -> str:
        """`get_predictions_id` for GET /predictions/{id}."""
        words = re.findall(r"[A-Za-z0-9]+", self.path)
        return "_".join([self.method.lower(), *words])


def add_error_answers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give every operation the errors it can answer, all in the one form."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    for path, item in result["paths"].items():
        result["paths"][path] = item = dict(sorted(item.items()))  # noqa: PLW2901  # DRF gives them in no order
        for method, operation in item.items():
            for status in statuses_of(path, method, operation):
                if status in operation["responses"] and operation["responses"][status].get("content"):
                    continue
                answer: dict[str, Any] = {
                    "description": WORDS[status],
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                if status in {"429", "503"}:
                    answer["headers"] = RETRY
                operation["responses"][status] = answer
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def statuses_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    """The error statuses of one operation."""
    if not any(operation.get("security", [{}])):
        return ["500"]
    found = ["401", "403", "429", "500", "503"]
    if operation.get("parameters") or method == "post":
        found.append("400")
    if "{" in path:
        found.append("404")
    if method == "post" and "requestBody" in operation:
        found += ["413", "415"]
    if path.split("/")[1] in {"predictions", "signals", "brackets", "touches", "candles", "indicators", "jobs"} and (
        "requestBody" in operation or path.startswith(("/candles", "/indicators"))
    ):
        found.append("409")
    return sorted(found)


@lru_cache(maxsize=1)
def schema_bytes() -> bytes:
    """The schema as YAML, made once per process: it only depends on the code."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return bytes(OpenApiYamlRenderer().render(schema, renderer_context={}))
