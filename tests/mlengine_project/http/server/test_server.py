"""The engine on a real connection, as `up` and as the image serve it."""

import gzip
import time

import pytest
from django.urls import get_resolver

from tests.mlengine_project.http.server.conftest import KEY, command_of_image
from tests.mlengine_project.http.server.sockets import H2C, HANDSHAKE, JSON, Caller, chunked, request, send_request

pytestmark = pytest.mark.alone  # it starts its own servers and uses no services
CHUNKED = b"Transfer-Encoding: chunked\r\n"
KEY_HEADER = b"X-API-Key: " + KEY.encode() + b"\r\n"
BODY = b'{"symbol": "NOPE", "horizon": 6}'
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"]
MIB = 1024 * 1024


def in_one_form(answer, status, error, path):
    payload = answer.json
    assert (answer.status, payload["error"], payload["path"]) == (status, error, path)
    assert payload["request_id"] == answer.headers["x-request-id"]
    assert payload["message"]


def test_the_image_names_the_protocol_of_this_package():
    words = command_of_image()
    assert words[words.index("--http") + 1] == "mlengine_project.http.protocol:LimitedHttpProtocol"


@pytest.mark.parametrize(
    "sent",
    [
        request(b"POST", b"/predictions", KEY_HEADER, JSON, body=BODY),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, CHUNKED) + chunked(BODY[:9], BODY[9:]),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, CHUNKED) + chunked(BODY, trailer=b"X-A: b\r\n"),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, H2C, body=BODY),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, H2C, CHUNKED) + chunked(BODY),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, body=BODY, version=b"1.0"),
        request(b"POST", b"http://localhost/predictions", KEY_HEADER, JSON, body=BODY),
        request(b"POST", b"/predictions", KEY_HEADER, b"Content-Type: application/json; charset=UTF-8\r\n", body=BODY),
        request(b"POST", b"/predictions", KEY_HEADER, JSON, b"Content-Encoding: identity\r\n", body=BODY),
        request(b"POST", b"/predictions", b"X-API-Key:\t " + KEY.encode() + b" \t \r\n", JSON, body=BODY),
    ],
    ids=["length", "chunks", "trailer", "h2c", "h2c chunks", "HTTP/1.0", "absolute", "charset", "identity", "blanks"],
)
def test_body_is_read_in_every_transfer_form(engine, sent):
    answer = send_request(engine.port, sent)
    in_one_form(answer, 400, "ValidationError", "/predictions")
    assert "NOPE" in answer.json["details"]["symbol"][0]


def test_a_body_waits_for_100_continue(engine):
    head, body = request(b"POST", b"/predictions", KEY_HEADER, JSON, b"Expect: 100-continue\r\n", body=BODY).split(
        b"{", 1
    )
    with Caller(engine.port) as caller:
        assert caller.send(head).answer().status == 100
        assert "NOPE" in caller.send(b"{" + body).answer().json["details"]["symbol"][0]
    announced = request(
        b"POST", b"/predictions", KEY_HEADER, JSON, b"Expect: 100-continue\r\nContent-Length: 99999999\r\n"
    )
    in_one_form(send_request(engine.port, announced), 413, "PayloadTooLarge", "/predictions")


@pytest.mark.parametrize("more", [(), (H2C,)], ids=["plain", "h2c"])
def test_request_is_counted_once(engine, more):
    def remaining():
        answer = send_request(engine.port, request(b"POST", b"/predictions", KEY_HEADER, JSON, *more, body=BODY))
        return int(answer.headers["ratelimit"].split(";")[1].removeprefix("r="))

    first = remaining()
    assert [remaining() for _ in range(3)] == [first - 1, first - 2, first - 3]
    send_request(engine.port, request(b"OPTIONS", b"/predictions", KEY_HEADER))
    assert remaining() == first - 4, "OPTIONS is not counted"


@pytest.mark.parametrize(
    "lines",
    [
        (KEY_HEADER, b"X-API-Key: another\r\n"),
        (b"X-API-Key: \r\n", b"X-API-Key: another\r\n"),
        (b"X-API-Key: \xff\xe9\r\n",),
        (b"X-API-Key: \xc3\xa9\r\n",),
        (b"X-API-Key: " + KEY.encode() + b"\xa0\r\n",),
        (b"X-API-Key: " + KEY.encode().upper() + b"\r\n",),
        (b"X-API-Key: " + b"a" * 8000 + b"\r\n",),
    ],
    ids=["two", "empty and another", "bytes", "letters", "no-break space", "capitals", "long"],
)
def test_malformed_key_header_is_401(engine, lines):
    in_one_form(send_request(engine.port, request(b"GET", b"/markets", *lines)), 401, "InvalidAPIKey", "/markets")


@pytest.mark.parametrize(
    "lines",
    [
        (JSON, b"Content-Encoding: gzip\r\n"),
        (JSON, b"Content-Encoding: GZIP\r\n"),
        (JSON, b"Content-Encoding: br\r\n"),
        (JSON, b"Content-Encoding: nonsense\r\n"),
        (JSON, b"Content-Encoding: identity\r\n", b"Content-Encoding: gzip\r\n"),
        (JSON, b"Content-Encoding: identity, gzip\r\n"),
        (b"Content-Type: application/json; charset=utf-16\r\n",),
        (b'Content-Type: application/json; charset="iso-8859-1"\r\n',),
        (b"Content-Type: text/plain\r\n",),
        (b"Content-Type: application/jsonx\r\n",),
        (),
    ],
    ids=lambda lines: b" ".join(lines).decode().replace("\r\n", ""),
)
def test_body_of_another_type_is_415(engine, lines):
    answer = send_request(engine.port, request(b"POST", b"/predictions", KEY_HEADER, *lines, body=gzip.compress(BODY)))
    in_one_form(answer, 415, "UnsupportedMediaType", "/predictions")


def test_chunks_in_another_coding_are_415(engine):
    coded = request(b"POST", b"/predictions", KEY_HEADER, JSON, b"Transfer-Encoding: gzip, chunked\r\n")
    answer = send_request(engine.port, coded + chunked(gzip.compress(BODY)))
    in_one_form(answer, 415, "UnsupportedMediaType", "/predictions")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [b"/predictions", b"/health", b"/", b"/docs", b"/admin/login/", b"/nope"])
def test_a_body_over_the_limit_is_413_whatever_the_method(engine, method, path):
    for sent in (
        [request(method, path, b"Content-Length: 300000\r\n"), b"x" * 300_000],
        [request(method, path, CHUNKED), *[b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 30, b"0\r\n\r\n"],
    ):
        answer = send_request(engine.port, *sent, method=method)
        assert answer.status == 413
        if method != b"HEAD":
            in_one_form(answer, 413, "PayloadTooLarge", path.decode())


def test_large_body_is_not_stored(engine):
    peak, written = engine.peak_kib(), engine.written_bytes()
    part = b"100000\r\n" + b"x" * MIB + b"\r\n"
    for method in (b"GET", b"DELETE", b"POST"):
        for head, piece in ((CHUNKED, part), (b"Content-Length: 600000000\r\n", b"x" * MIB)):
            assert (
                send_request(engine.port, request(method, b"/health", head), *[piece] * 100, method=method).status
                == 413
            )
    assert engine.written_bytes() - written < 64 * MIB
    assert engine.peak_kib() - peak < 48 * 1024


def test_large_header_is_not_stored(engine):
    peak = engine.peak_kib()
    for name in (b"X-A", b"Cookie"):
        answer = send_request(
            engine.port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + name + b": ", *[b"a" * MIB] * 151
        )
        in_one_form(answer, 431, "ValidationError", "/health")
    in_one_form(send_request(engine.port, b"GET /", *[b"a" * MIB] * 100), 414, "ValidationError", "/" + "a" * 255)
    assert engine.peak_kib() - peak < 48 * 1024


def test_worker_answers_during_abusive_requests(engine):
    with Caller(engine.port) as one, Caller(engine.port) as two:
        one.send(b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n")
        two.send(request(b"POST", b"/predictions", KEY_HEADER, JSON, b"Content-Length: 1000\r\n"))
        started = time.monotonic()
        assert send_request(engine.port, request(b"GET", b"/health")).status == 200
        assert time.monotonic() - started < 2


def test_longest_url_is_truncated_in_the_log(engine):
    started = time.monotonic()
    for _ in range(20):
        in_one_form(
            send_request(engine.port, request(b"GET", b"/" + b"a" * 16_000)), 404, "NotFound", "/" + "a" * 16_000
        )
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("method", [*METHODS[:1], *METHODS[2:], b"TRACE", b"PROPFIND"])
@pytest.mark.parametrize(
    "path", [b"/nope", b"/predictions/", b"/static/nope.css", b"//health", b"/ws/signals", b"/ws/other"]
)
def test_an_unknown_path_is_a_json_404_to_every_method(engine, method, path):
    body = b"" if method in {b"GET", b"OPTIONS", b"TRACE"} else b"a=b"
    in_one_form(send_request(engine.port, request(method, path, body=body)), 404, "NotFound", path.decode())
    in_one_form(
        send_request(engine.port, request(method, path, KEY_HEADER, JSON, body=body)), 404, "NotFound", path.decode()
    )


@pytest.mark.parametrize(
    "target",
    [b"/%00", b"/predictions/%00", b"/signals/a%00b", b"/market/%00", b"/static/%00", b"/admin/%00/", b"/jobs/%00",
     b"/predictions?symbol=%00", b"/predictions?symbol=BTCUSDT&cursor=%00", b"/?next=%00", b"/health?a=%00"],
)  # fmt: skip
@pytest.mark.parametrize("lines", [(), (KEY_HEADER,)], ids=["unknown", "known"])
def test_nul_in_a_url_is_400(engine, target, lines):
    path = target.partition(b"?")[0].decode().replace("%00", "\x00")
    in_one_form(send_request(engine.port, request(b"GET", target, *lines)), 400, "ValidationError", path)


@pytest.mark.parametrize(
    "cookie", [b'"abc\\000def"', b'"' + b"\\" * 8000 + b'"', b"a\\b"], ids=["NUL", "quoting", "bare"]
)
def test_quoted_cookie_is_ignored(engine, cookie):
    lines = [b"Cookie: a=b; sessionid=" + cookie + b"; c=d\r\n"]
    assert send_request(engine.port, request(b"GET", b"/", *lines)).status == 200
    started = time.monotonic()
    with Caller(engine.port) as caller:
        assert caller.send(request(b"GET", b"/ws/signals", *lines, HANDSHAKE)).answer().status == 101
    assert time.monotonic() - started < 5


def test_nul_in_a_body_is_400(engine):
    body = b'{"symbol": "BTC\\u0000USDT", "horizon": 6}'
    answer = send_request(engine.port, request(b"POST", b"/predictions", KEY_HEADER, JSON, body=body))
    in_one_form(answer, 400, "ValidationError", "/predictions")
    assert "NUL" in answer.json["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [(b"/ws/other", 404), (b"/", 404), (b"/health", 404), (b"/predictions", 404), (b"/ws/signals/", 404), (b"/ws/%00", 400),
     (b"/ws/signals?a=%00", 400)],
)  # fmt: skip
def test_handshake_on_another_path_gets_the_standard_error(engine, path, status):
    with Caller(engine.port) as caller:
        answer = caller.send(request(b"GET", path, KEY_HEADER, HANDSHAKE)).answer()
        assert (answer.status, answer.json["path"]) == (status, path.partition(b"?")[0].decode().replace("%00", "\x00"))
        assert caller.closed()


def test_a_handshake_on_the_right_path_is_accepted(engine):
    assert send_request(engine.port, request(b"GET", b"/ws/signals", KEY_HEADER, HANDSHAKE)).status == 101


def paths_of(patterns, prefix=""):
    """Every path without arguments, except the admin's."""
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if hasattr(entry, "url_patterns"):
            yield from () if path.startswith("admin/") else paths_of(entry.url_patterns, path)
        elif "<" not in path:
            yield "/" + path


@pytest.mark.parametrize("path", list(paths_of(get_resolver().url_patterns)))
def test_allow_options_and_head_agree(engine, path):
    target = path.encode() + (b"?symbol=BTCUSDT" if path in {"/candles", "/candles/quality", "/indicators"} else b"")
    options = send_request(engine.port, request(b"OPTIONS", target))
    assert (options.status, options.body) == (200, b"")
    allowed = options.headers["allow"].split(", ")
    assert {"OPTIONS"} < set(allowed)
    assert ("GET" in allowed) == ("HEAD" in allowed)
    for method in METHODS:
        answer = send_request(engine.port, request(method, target, KEY_HEADER, JSON), method=method)
        assert (answer.status == 405) == (method.decode() not in allowed), method
        if answer.status == 405:
            assert set(answer.headers["allow"].split(", ")) == set(allowed)
            if method != b"HEAD":
                in_one_form(answer, 405, "MethodNotAllowed", path)
    if "GET" in allowed:
        got, head = (
            send_request(engine.port, request(method, target, KEY_HEADER), method=method)
            for method in (b"GET", b"HEAD")
        )
        assert head.status == got.status
        assert set(head.headers) == set(got.headers)
        one_of_a_kind = {"x-request-id", "date", "ratelimit", "set-cookie", "expires", "x-market-ms"}
        if path in {"/metrics", "/health/detailed"}:  # their contents change
            one_of_a_kind |= {"content-length", "etag"}
        assert {n: v for n, v in head.headers.items() if n not in one_of_a_kind | {"content-security-policy"}} == {
            n: v for n, v in got.headers.items() if n not in one_of_a_kind | {"content-security-policy"}
        }


@pytest.mark.slow
def test_a_slow_body_is_408(engine):
    with Caller(engine.port, seconds=20) as caller:
        caller.send(request(b"POST", b"/predictions", KEY_HEADER, JSON, b"Content-Length: 100\r\n") + b"{")
        answer = caller.answer()
        assert answer.status == 408
        assert caller.closed()
