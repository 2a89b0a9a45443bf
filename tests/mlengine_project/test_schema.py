"""The schema: committed, complete, and free of warnings; its readers load nothing from elsewhere."""

import re
from pathlib import Path

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import get_resolver
from openapi_spec_validator import validate

from mlengine_project.schema import schema_bytes

SNAPSHOT = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
OPEN = {"/health", "/health/ready"}
NOT_REST = {"/schema", "/docs", "/redoc", "/asyncapi"}


@pytest.fixture(scope="module")
def schema():
    return yaml.safe_load(schema_bytes())


def test_the_committed_schema_is_the_one_served():
    made = schema_bytes().decode()
    assert SNAPSHOT.read_text() == made, (
        "the REST surface changed: look at the difference, then run "
        "`manage.py spectacular --file docs/openapi.yaml` and tell it in the changelog"
    )


def test_it_is_openapi_and_has_no_warning(schema, tmp_path, capsys):
    validate(schema)
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_every_path_of_the_code_is_in_it_and_no_other(schema):
    routes = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(entry.pattern))
        for include in get_resolver().url_patterns
        if getattr(include, "urlconf_name", None).__class__.__name__ == "module"
        and include.urlconf_name.__name__ == "mlengine_project.api"
        for entry in include.url_patterns
    }
    assert routes - NOT_REST == set(schema["paths"])


def test_every_answer_is_typed_and_every_error_has_the_one_form(schema):
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                assert answer["content"], (path, method, status)
            if path not in OPEN:
                assert operation["security"]
                assert {"401", "403", "429", "500", "503"} <= set(operation["responses"]), (path, method)
                error = operation["responses"]["401"]["content"]["application/json"]["schema"]
                assert error == {"$ref": "#/components/schemas/Error"}
            else:
                assert operation.get("security", [{}]) == [{}]
    key = schema["components"]["securitySchemes"]["ApiKey"]
    assert (key["type"], key["in"], key["name"]) == ("apiKey", "header", "X-API-Key")


def test_prices_are_strings_in_it_and_bodies_are_named(schema):
    prediction = schema["components"]["schemas"]["Prediction"]["properties"]
    assert prediction["predicted_high"]["type"] == "string"
    assert prediction["bands"]["type"] == "array"
    asked = schema["paths"]["/predictions"]["post"]["requestBody"]["content"]
    assert list(asked) == ["application/json"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_its_readers_load_nothing_from_elsewhere_and_hold_no_script(client, path):
    page = client.get(path)
    assert page.status_code == 200
    links = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.text)
    assert links
    for link in links:
        assert not re.match(r"(https?:)?//", link), link
        if link.startswith("/static/"):
            assert finders.find(link.removeprefix("/static/")), link
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []
    assert not re.search(r"\son\w+=", page.text)
    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
