"""Redaction of secrets in log lines."""

import json
import logging
import time

import pytest
import structlog

from mlengine_project.access.keys import new_key
from mlengine_project.operations.logs.redaction import (
    MAX_LINE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    known_secrets,
    redact,
    shortened,
)
from mlengine_project.operations.logs.structured import formatter, log_request, request_id_from


@pytest.fixture
def line_of(settings):
    """Render one event as a log line."""
    settings.API_KEY = "bootstrap-canary-0123456789abcdef"
    settings.BINANCE_API_SECRET = "binance-canary-0123456789abcdef"
    known_secrets.cache_clear()

    def render(message, *arguments, pretty=False, **more):
        record = logging.LogRecord("library", logging.INFO, __file__, 1, message, arguments, more.pop("exc_info", None))
        record.__dict__.update(more)
        return formatter(pretty=pretty).format(record)

    yield render
    known_secrets.cache_clear()


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        "key is {key}",
        "GET /candles?api_key={key}",
        "headers {{'X-API-Key': '{key}'}}",
        "the bootstrap is bootstrap-canary-0123456789abcdef.",
        "signed with binance-canary-0123456789abcdef",
        "postgres://ml:canary-password@db:5432/ml",
        "redis://:canary-password@redis:6379/0",
        "Authorization: Bearer canary-password",
        'password="canary-password"',
        "{{'ticket': 'canary-password'}}",
    ],
)
def test_a_secret_is_hidden(line_of, message, pretty):
    key = new_key().secret
    line = line_of(message.format(key=key), pretty=pretty)
    assert key.split("_", 2)[2] not in line
    assert "canary" not in line
    assert "[hidden]" in line


def test_a_secret_in_a_trace_is_hidden_too(line_of):
    key = new_key().secret
    try:
        int(f"cannot use {key}")
    except ValueError as error:
        line = line_of("failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError" in line
    assert key not in line


def test_ordinary_text_is_kept_and_the_line_is_json(line_of):
    line = json.loads(line_of("stored %s candles of %s", 12, "BTCUSDT"))
    assert line["event"] == "stored 12 candles of BTCUSDT"
    assert {"level", "timestamp", "logger"} <= set(line)
    assert line["timestamp"].endswith("Z")


def test_the_request_id_is_on_every_line_of_a_request(line_of):
    with structlog.contextvars.bound_contextvars(request_id="job-17"):
        assert json.loads(line_of("from a library"))["request_id"] == "job-17"


def test_public_prefix_of_a_key_is_kept():
    drawn = new_key()
    assert drawn.prefix in redact(f"used {drawn.secret}")


def test_a_well_formed_request_id_is_kept_and_another_replaced():
    assert request_id_from("a.b:c-d_1") == "a.b:c-d_1"
    for bad in (None, "", "a b", "x" * 65, "a\nb", "\u0661"):
        assert len(request_id_from(bad)) == 32


@pytest.mark.parametrize("text", ["a" * 60_000, "a://" * 15_000, "token " * 10_000, "mle_00000000_" * 5000])
def test_redaction_of_long_text_is_fast(text):
    started = time.process_time()
    redact(f"GET /{text}")
    assert time.process_time() - started < 0.5


class Lines(logging.Handler):
    """Handler that keeps what it would write."""

    def __init__(self, pretty):
        super().__init__()
        self.setFormatter(formatter(pretty=pretty))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def request_lines():
    """The lines of `log_request`, as JSON or for a terminal."""
    requests, added = logging.getLogger("mlengine.requests"), []

    def start(pretty=False):
        added.append(Lines(pretty))
        requests.addHandler(added[-1])
        return added[-1].lines

    level = requests.level
    requests.setLevel(logging.INFO)
    yield start
    requests.setLevel(level)
    for handler in added:
        requests.removeHandler(handler)


def test_the_path_of_a_request_is_cut(request_lines):
    lines = request_lines()
    log_request("GET", "/" + "a" * 16_000, 404, 0.001)
    log_request("GET", "/predictions", 200, 0.001)
    paths = [json.loads(line)["path"] for line in lines]
    assert [len(path) < 300 for path in paths] == [True, True]
    assert paths[0].startswith("/aaa")
    assert paths[1] == "/predictions"


@pytest.mark.parametrize(("path", "key_id", "request_id"), [
    ("/predictions", "6a1f2c3e-0000-4000-8000-000000000000", "job-17"),
    ('/nope"\\\u00e9\u2028', "", "0123456789abcdef0123456789abcdef"),
    ("/health", "bootstrap", None),
])  # fmt: skip
def test_the_line_of_a_request_is_that_of_the_processors(request_lines, path, key_id, request_id):
    lines = request_lines()
    log_request("POST", path, 503, 0.00123, key_id, request_id)
    written = json.loads(lines[0])
    record = logging.LogRecord("mlengine.requests", logging.INFO, "", 0, dict(written), None, None)
    record._logger, record._name = None, "info"
    assert lines[0] == formatter(pretty=False).format(record)
    stamp = written.pop("timestamp")
    assert len(stamp) == 27
    assert stamp.endswith("Z")
    assert written == {
        "method": "POST", "path": path, "status": 503, "ms": 1.2, "key": key_id or None, "event": "request",
        **({"request_id": request_id} if request_id else {}), "logger": "mlengine.requests", "level": "info",
    }  # fmt: skip


@pytest.mark.parametrize("pretty", [False, True])
def test_a_secret_in_a_path_or_request_id_is_hidden(request_lines, line_of, pretty):
    lines, key = request_lines(pretty), new_key().secret
    log_request("GET", f"/candles/{key}", 404, 0.001, "", f"token:{key[:50]}")
    log_request("GET", "/console/sign-in/eyJ1c2VyIjoxfQ:1xXo6u", 200, 0.001)
    log_request("GET", "/binance-canary-0123456789abcdef", 404, 0.001)
    assert len(lines) == 3
    for secret in (key.split("_", 2)[2][:8], "eyJ1c2VyIjoxfQ", "canary"):
        assert not any(secret in line for line in lines)


def test_a_long_value_is_cut_and_the_line_stays_json(line_of):
    line = json.loads(line_of("read %s", "x" * 100_000))
    assert len(line["event"]) < MAX_VALUE_CHARACTERS + 100
    assert "characters left out" in line["event"]


def test_long_traceback_keeps_its_beginning_and_end(line_of):
    try:
        {}["y" * 100_000 + " the last words"]
    except KeyError as error:
        line = json.loads(line_of("failed", exc_info=(type(error), error, error.__traceback__)))
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("the last words'")
    assert len(line["exception"]) < MAX_VALUE_CHARACTERS + 100


@pytest.mark.parametrize("before", range(MAX_VALUE_CHARACTERS // 2 - 80, MAX_VALUE_CHARACTERS // 2 + 20, 7))
def test_secret_across_a_cut_is_hidden(before):
    key = new_key().secret
    for text in ("x" * before + " " + key + " " + "x" * 20_000, "x" * 20_000 + " " + key + " " + "x" * before):
        cut = shortened(text)
        assert len(cut) < MAX_VALUE_CHARACTERS + 100
        for n in range(13, len(key) - 8):
            assert key[n : n + 8] not in cut


def test_very_long_line_is_truncated_and_redacted():
    key = new_key().secret
    line = redact("x" * (MAX_LINE_CHARACTERS - 30) + " " + key + "y" * 100_000)
    assert len(line) == MAX_LINE_CHARACTERS
    assert key[13:21] not in line


def test_a_password_in_a_url_in_capitals_is_hidden():
    assert redact("REDIS://user:swordfish@host") == "REDIS://user:[hidden]@host"
