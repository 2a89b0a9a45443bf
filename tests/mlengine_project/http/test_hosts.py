"""Host names: probes accept any host, other paths need one of ALLOWED_HOSTS."""

import json

import pytest
from django.test import Client
from structlog.testing import capture_logs

pytestmark = pytest.mark.django_db
PROBES = ["/health", "/health/ready", "/metrics", "/health/detailed"]
INVALID_HOSTS = [
    "10.42.0.17:8000",
    "[fd00::17]:8000",
    "fd00::17",
    "ml_engine:8000",
    "pod-1.default.svc",
    "",
    "a b",
    "a,b",
    "<script>",
    "é",
    "x" * 5000,
    "host:notaport",
    "[::1",
    "a.example:99999999",
]


@pytest.fixture(autouse=True)
def one_name(settings):
    settings.ALLOWED_HOSTS = ["signals.example.com"]
    settings.METRICS_TOKEN = "a token for prometheus"


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("host", INVALID_HOSTS, ids=lambda host: ascii(host)[:20])
@pytest.mark.parametrize("path", PROBES)
def test_a_probe_is_answered_under_any_host(client, settings, path, host, debug):
    settings.DEBUG = debug
    bearer = {"HTTP_AUTHORIZATION": "Bearer a token for prometheus"}
    assert client.get(path, HTTP_HOST=host, **bearer).status_code in ({401} if "detailed" in path else {200, 503})
    assert client.head(path, HTTP_HOST=host, **bearer).status_code != 400


@pytest.mark.parametrize("host", INVALID_HOSTS, ids=lambda host: ascii(host)[:20])
@pytest.mark.parametrize("path", ["/", "/markets", "/admin/login/", "/nothing", "/docs"])
def test_other_paths_refuse_a_host_that_is_not_allowed(client, path, host):
    answer = client.get(path, HTTP_HOST=host)
    assert answer.status_code == 400
    body = answer.json()
    assert set(body) == {"error", "message", "path", "request_id"}
    assert body["error"] == "ValidationError"
    assert "ALLOWED_HOSTS" in body["message"]
    page = client.get(path, HTTP_HOST=host, HTTP_ACCEPT="text/html")
    assert page.status_code == 400
    assert page["Content-Type"].startswith("text/html")
    assert "ALLOWED_HOSTS" in page.content.decode()


def test_log_has_the_host_and_the_setting(client):
    with capture_logs() as lines:
        client.get("/markets", HTTP_HOST="10.42.0.17:8000")
    (line,) = [each for each in lines if each["event"] == "host_refused"]
    assert line["host"] == "10.42.0.17:8000"
    assert line["allowed_hosts"] == ["signals.example.com"]
    assert "ALLOWED_HOSTS" in line["advice"]


@pytest.mark.parametrize("host", ["a\r\nb\x1b[31m", "x" * 60_000])
def test_what_is_logged_of_a_host_is_cut_and_escaped(client, host):
    with capture_logs() as lines:
        client.get("/markets", HTTP_HOST=host)
    logged = json.dumps(next(each for each in lines if each["event"] == "host_refused")["host"])
    assert len(logged) < 500
    assert "\\u001b" not in logged
    assert "\r" not in logged


def test_an_allowed_name_passes_with_any_port(client):
    for host in ("signals.example.com", "signals.example.com:8443", "SIGNALS.example.com"):
        assert client.get("/docs", HTTP_HOST=host).status_code == 200


def test_refused_origin_is_logged_with_proxy_advice():
    browser = Client(enforce_csrf_checks=True)
    origin = {"HTTP_ORIGIN": "https://signals.example.com:8443", "HTTP_HOST": "signals.example.com"}
    with capture_logs() as lines:
        answer = browser.post("/admin/login/", {"username": "ada"}, **origin, HTTP_ACCEPT="text/html")
    assert answer.status_code == 403
    assert "was not sent from a page of this site" in answer.content.decode()
    (line,) = [each for each in lines if each["event"] == "cross_site_form_refused"]
    assert line["origin"] == "https://signals.example.com:8443"
    assert line["host"] == "signals.example.com"
    assert "$http_host" in line["advice"]


@pytest.mark.parametrize("origin", ["null", "http://[", "https://evil.example", "é", "x" * 9000, ""])
def test_any_origin_header_of_another_site_is_refused_without_a_crash(origin):
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/console/sign-in", {}, HTTP_ORIGIN=origin, HTTP_HOST="signals.example.com")
    assert answer.status_code == 403
    assert answer.json()["error"] == "PermissionDenied"
