"""AsyncAPI document of the websocket and the Redis channel, from `asyncapi.yaml` and the signal schema.

The signal's schema is that of the OpenAPI document without the fields that only REST adds.
"""

import copy
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import yaml
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from mlengine_project.http.allowed_methods import allow
from mlengine_project.http.schema import schema_bytes

TEMPLATE_PATH = Path(__file__).with_suffix(".yaml")
ONLY_IN_REST = {"outcome", "pnl_percent"}
REFERENCE = re.compile(r"#/components/schemas/(\w{1,100})")
Schema = dict[str, Any]

MEDIA_TYPES = {
    "application/yaml": "yaml",
    "application/vnd.aai.asyncapi+yaml": "yaml",
    "application/json": "json",
    "application/vnd.aai.asyncapi+json": "json",
    "text/html": "html",
}
"""Supported media types; the first is the default."""


@lru_cache(maxsize=1)
def document() -> Schema:
    """The whole document, built once per process; callers must not change it."""
    made: Schema = yaml.safe_load(TEMPLATE_PATH.read_text())
    rest = yaml.safe_load(schema_bytes())["components"]["schemas"]
    signal = copy.deepcopy(rest["Signal"])
    signal["properties"] = {name: value for name, value in signal["properties"].items() if name not in ONLY_IN_REST}
    signal["required"] = [name for name in signal["required"] if name not in ONLY_IN_REST]
    schemas = {"PublishedSignal": signal}
    missing = list(references(signal))
    while missing:
        name = missing.pop()
        if name not in schemas:
            schemas[name] = rest[name]
            missing += references(rest[name])
    made["components"]["schemas"] |= {name: without_nullable(schema) for name, schema in schemas.items()}
    return made


def references(schema: object) -> Iterator[str]:
    """Names of the component schemas a schema refers to.

    >>> list(references({"oneOf": [{"$ref": "#/components/schemas/Side"}]}))
    ['Side']
    """
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield from REFERENCE.findall(schema["$ref"])
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def without_nullable(schema: Any) -> Any:
    """Convert OpenAPI 3.0's `nullable` to JSON Schema, as AsyncAPI uses.

    >>> without_nullable({"type": "string", "nullable": True})
    {'type': ['string', 'null']}
    >>> without_nullable({"$ref": "#/components/schemas/Side", "nullable": True})
    {'anyOf': [{'$ref': '#/components/schemas/Side'}, {'type': 'null'}]}
    """
    if isinstance(schema, list):
        return [without_nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: without_nullable(value) for name, value in schema.items() if name != "nullable"}
    if schema.get("nullable") is not True:
        return plain
    if isinstance(plain.get("type"), str) and "enum" not in plain:
        return plain | {"type": [plain["type"], "null"]}
    return {"anyOf": [plain, {"type": "null"}]}


@allow("GET")
def asyncapi(request: HttpRequest) -> HttpResponse:
    """AsyncAPI 3 as YAML; as JSON or as a page by `Accept` or `?format=`."""
    form = request.GET.get("format")
    if form not in MEDIA_TYPES.values():
        form = MEDIA_TYPES[request.get_preferred_type(list(MEDIA_TYPES)) or "application/yaml"]
    if form == "html":
        answer = render(request, "surface/asyncapi.html", {"document": document(), "channels": channels()})
    else:
        media_type, body = encoded(form)
        answer = HttpResponse(body, content_type=media_type)
        answer["Content-Disposition"] = f'inline; filename="asyncapi.{form}"'
    patch_vary_headers(answer, ["Accept"])
    return answer


@lru_cache(maxsize=2)
def encoded(form: str) -> tuple[str, bytes]:
    """The media type and the bytes of the document as `yaml` or `json`."""
    if form == "json":
        return "application/vnd.aai.asyncapi+json", orjson.dumps(document())
    body: bytes = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, encoding="utf-8")
    return "application/vnd.aai.asyncapi+yaml; charset=utf-8", body


@lru_cache(maxsize=1)
def channels() -> list[Schema]:
    """The channels for the page: with their operations, and messages with resolved schemas."""
    described, shown = document(), []
    for name, channel in described["channels"].items():
        operations = [
            {
                "summary": operation["summary"],
                "messages": [_shown(resolved(message)) for message in operation["messages"]],
            }
            for operation in described["operations"].values()
            if operation["channel"]["$ref"] == f"#/channels/{name}"
        ]
        shown.append({**channel, "operations": operations})
    return shown


def _shown(message: Schema) -> Schema:
    return {
        "name": message["name"],
        "summary": message["summary"],
        "payload": yaml.safe_dump(resolved(message["payload"]), sort_keys=False, width=100),
        "examples": [orjson.dumps(example["payload"]).decode() for example in message.get("examples", [])],
    }


def resolved(part: Any) -> Any:
    """A part of the document with every reference resolved; no schema is recursive."""
    if isinstance(part, list):
        return [resolved(one) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        found: Any = document()
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return resolved(found)
    return {name: resolved(value) for name, value in part.items()}
