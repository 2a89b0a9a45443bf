"""The OpenAPI document with Swagger and Redoc, served without external scripts, styles or fonts."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlengine_project.http.allowed_methods import allow
from mlengine_project.http.schema import schema_bytes, schema_json

YAML_TYPES = ["application/vnd.oai.openapi", "application/yaml", "application/x-yaml", "text/yaml"]
JSON_TYPES = ["application/json", "application/vnd.oai.openapi+json"]


@allow("GET")
def schema(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3 as YAML, or as JSON by `?format=json` or by `Accept`."""
    preferred = request.get_preferred_type([*YAML_TYPES, *JSON_TYPES])
    if request.GET.get("format", "json" if preferred in JSON_TYPES else "yaml") == "json":
        content, suffix, content_type = schema_json(), "json", "application/vnd.oai.openapi+json"
    else:
        content, suffix, content_type = schema_bytes(), "yaml", "application/vnd.oai.openapi"
    return HttpResponse(
        content,
        content_type=f"{content_type}; charset=utf-8",
        headers={"Content-Disposition": f'inline; filename="openapi.{suffix}"', "Vary": "Accept"},
    )


@allow("GET")
def swagger(request: HttpRequest) -> HttpResponse:
    """The Swagger page."""
    return render(request, "surface/swagger.html")


@allow("GET")
def redoc(request: HttpRequest) -> HttpResponse:
    """The Redoc page."""
    return render(request, "surface/redoc.html")
