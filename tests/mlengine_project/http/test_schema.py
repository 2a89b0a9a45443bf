"""The OpenAPI schema: committed, complete, without warnings; its pages have no external sources."""

import re
from pathlib import Path

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import get_resolver
from openapi_spec_validator import validate

from mlengine_project.http.schema import ERROR_NAMES, schema_bytes
from predictions.reasons import REASON_TEXTS

SNAPSHOT = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"
OPEN = {"/health", "/health/ready"}
NOT_REST = {"/schema", "/docs", "/redoc", "/asyncapi"}


@pytest.fixture(scope="module")
def schema():
    return yaml.safe_load(schema_bytes())


def test_the_committed_schema_is_the_one_served():
    made = schema_bytes().decode()
    assert SNAPSHOT.read_text() == made, (
        "the REST API changed: check the difference, then run "
        "`manage.py spectacular --file docs/openapi.yaml` and add it to the changelog"
    )


def test_it_is_openapi_and_has_no_warning(schema, tmp_path, capsys):
    validate(schema)
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_schema_has_exactly_the_paths_of_the_code(schema):
    routes = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(entry.pattern))
        for include in get_resolver().url_patterns
        if getattr(include, "urlconf_name", None).__class__.__name__ == "module"
        and include.urlconf_name.__name__ == "mlengine_project.api"
        for entry in include.url_patterns
    }
    assert routes - NOT_REST == set(schema["paths"])


def test_every_answer_is_typed_and_every_error_has_the_standard_form(schema):
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                assert answer["content"], (path, method, status)
                assert answer["description"], (path, method, status)
                assert "X-Request-ID" in answer["headers"], (path, method, status)
            assert {"405", "500"} <= set(operation["responses"]), (path, method)
            if path not in OPEN:
                assert operation["security"]
                assert {"400", "401", "403", "429", "503"} <= set(operation["responses"]), (path, method)
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
    content = schema["paths"]["/predictions"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json"]


def untyped(node, at=""):
    """Untyped places of the schema."""
    if isinstance(node, list):
        return [place for n, item in enumerate(node) for place in untyped(item, f"{at}[{n}]")]
    if not isinstance(node, dict):
        return []
    found = [f"{at}.{name}" for name in ("items", "additionalProperties", "schema") if node.get(name) == {}]
    for name, field in (node.get("properties") or {}).items() if isinstance(node.get("properties"), dict) else ():
        if not {"type", "$ref", "oneOf", "allOf", "enum"} & set(field):
            found.append(f"{at}.{name}")
    return found + [
        place for name, item in node.items() if name != "example" for place in untyped(item, f"{at}.{name}")
    ]


def test_only_jobs_are_untyped(schema):
    assert [place for place in untyped(schema) if ".Job." not in place] == []


def test_closed_lists_are_enums_by_name(schema):
    parts = schema["components"]["schemas"]
    assert not [name for name in parts if re.search(r"RequestRequest|Enum$", name) and name != "NullEnum"]
    prediction, signal = parts["Prediction"]["properties"], parts["Signal"]["properties"]
    reason = {"$ref": "#/components/schemas/Reason"}
    assert prediction["reasons"]["items"] == signal["reasons"]["items"] == reason
    assert parts["Error"]["properties"]["reasons"]["items"] == reason
    assert parts["Reason"]["enum"] == list(REASON_TEXTS)
    assert parts["Side"]["enum"] == ["buy", "sell"]
    assert parts["BracketRequest"]["properties"]["side"] == {"$ref": "#/components/schemas/Side"}
    assert {"$ref": "#/components/schemas/Side"} in signal["considered_side"]["oneOf"]
    assert parts["ErrorName"]["enum"] == list(ERROR_NAMES)
    assert set(prediction["model_versions"]["properties"]) == {
        "range_predictor",
        "tpsl_classifier",
        "signal_classifier",
    }
    assert parts["Interval"]["enum"] == ["5m", "15m", "1h", "4h", "1d"]
    assert parts["StoredInterval"]["enum"] == ["5m"]


def test_pages_limits_servers_and_prices(schema):
    assert schema["servers"][0]["url"] == "/"
    lists = [part for name, part in schema["components"]["schemas"].items() if name.startswith("Paginated")]
    assert len(lists) >= 6
    for page in lists:
        assert {"next", "previous", "results"} <= set(page["required"])
        assert page["properties"]["next"]["nullable"]
    for item in schema["paths"].values():
        for parameter in item.get("get", {}).get("parameters", []):
            if parameter["name"] == "limit":
                bounds = parameter["schema"]
                assert (bounds["minimum"], bounds["maximum"], bounds["default"]) == (1, 1000, 100)
    for name in (
        "PaginatedCandleList",
        "Touches",
        "IndicatorValues",
        "Prediction",
        "Signal",
        "Bracket",
        "Score",
        "Coverage",
    ):
        assert "simulated" in schema["components"]["schemas"][name]["required"], name


def test_schema_as_json(client, schema):
    for content in (
        client.get("/schema?format=json"),
        client.get("/schema", headers={"Accept": "application/json"}),
        client.get("/schema", headers={"Accept": "application/vnd.oai.openapi+json"}),
    ):
        assert "json" in content["Content-Type"]
        assert content.json() == yaml.safe_load(client.get("/schema").content)
    for accept in ("*/*", "text/html,*/*;q=0.8", "application/yaml", "application/vnd.oai.openapi"):
        assert client.get("/schema", headers={"Accept": accept}).content == schema_bytes()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_schema_pages_have_no_external_source_and_no_inline_script(client, path):
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
