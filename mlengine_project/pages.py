"""The schema and its two readers, served whole from this host: no script, style or font from elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlengine_project.allowed_methods import allow
from mlengine_project.schema import schema_bytes


@allow("GET")
def schema(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3 as YAML."""
    return HttpResponse(
        schema_bytes(),
        content_type="application/vnd.oai.openapi; charset=utf-8",
        headers={"Content-Disposition": 'inline; filename="openapi.yaml"'},
    )


@allow("GET")
def swagger(request: HttpRequest) -> HttpResponse:
    """Swagger, to read and to try."""
    return render(request, "surface/swagger.html")


@allow("GET")
def redoc(request: HttpRequest) -> HttpResponse:
    """Redoc, to read."""
    return render(request, "surface/redoc.html")
