"""HTTP parsing on a real connection: requests passed to the application, and refusals."""

import re

import pytest

from mlengine_project.http import protocol
from tests.flows.processes import wait_until
from tests.mlengine_project.http.server.conftest import mirror
from tests.mlengine_project.http.server.sockets import H2C, HANDSHAKE, HOST, Caller, chunked, request, send_request

pytestmark = pytest.mark.alone
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def refused(answer, status, words):
    assert answer.status == status, answer.body
    payload = answer.json
    assert set(payload) == {"error", "message", "path", "request_id", "details"}
    assert payload["error"] == "ValidationError"
    assert re.search(words, payload["message"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == payload["request_id"]


@pytest.mark.parametrize(
    "body",
    [chunked(b"one ", b"two"), chunked(b"one two", trailer=b"X-After: 1\r\n"), b"7;a=b\r\none two\r\n0\r\n\r\n"],
    ids=["plain", "trailer", "extension"],
)
def test_chunked_body_is_joined(mirrored, body):
    assert send_request(mirrored, request(b"POST", b"/", CHUNKED) + body).json["body"] == "one two"


def test_trailer_is_not_a_header(mirrored):
    body = chunked(b"x", trailer=b"X-API-Key: stolen\r\nHost: elsewhere\r\n")
    names = [name for name, _ in send_request(mirrored, request(b"POST", b"/", CHUNKED) + body).json["headers"]]
    assert names == ["host", "transfer-encoding"]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"HEAD", b"OPTIONS"])
def test_an_offer_of_http2_is_answered_as_http1_with_its_body(mirrored, method, version):
    answer = send_request(mirrored, request(method, b"/a?b=c", H2C, body=b"kept", version=version), method=method)
    assert answer.status == 200
    if method != b"HEAD":
        seen = answer.json
        assert (seen["method"], seen["path"], seen["query"], seen["body"]) == (method.decode(), "/a", "b=c", "kept")
        assert [name for name, _ in seen["headers"]] == ["host", "user-agent", "content-length"]


def test_an_offer_of_http2_with_a_chunked_body_in_many_segments(mirrored):
    bytes_sent = request(b"POST", b"/", H2C, CHUNKED) + chunked(b"one ", b"two") + request(b"GET", b"/next")
    with Caller(mirrored) as caller:
        caller.send(*(bytes_sent[n : n + 40] for n in range(0, len(bytes_sent), 40)), pause=0.005)
        assert caller.answer().json["body"] == "one two"
        assert caller.answer().json["path"] == "/next"


def test_consecutive_http2_offers_do_not_recurse(mirrored):
    with Caller(mirrored) as caller:
        caller.send(request(b"GET", b"/", H2C) * 60)
        assert [caller.answer().status for _ in range(60)] == [200] * 60


def test_other_tokens_of_connection_are_kept(mirrored):
    with Caller(mirrored) as caller:
        caller.send(request(b"GET", b"/", b"Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"))
        assert ["connection", "close"] in caller.answer().json["headers"]
        assert caller.closed()


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        b"Upgrade: h2c\r\n",
    ],
    ids=["no key", "TLS", "no token"],
)
def test_invalid_upgrade_is_ignored(mirrored, lines):
    assert send_request(mirrored, request(b"GET", b"/health", lines)).json["path"] == "/health"


def test_a_handshake_with_a_body_or_another_method_is_a_request(mirrored):
    assert send_request(mirrored, request(b"POST", b"/", HANDSHAKE, body=b"kept")).json["body"] == "kept"
    assert send_request(mirrored, request(b"GET", b"/", HANDSHAKE, body=b"kept")).json["body"] == "kept"
    assert send_request(mirrored, request(b"GET", b"/", HANDSHAKE)).status == 403, "the application refuses this one"


def test_handshake_waits_for_earlier_requests(mirrored):
    with Caller(mirrored) as caller:
        caller.send(request(b"POST", b"/first", body=b"x") + request(b"GET", b"/second", HANDSHAKE))
        assert [caller.answer().json["path"] for _ in range(2)] == ["/first", "/second"]


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t", b" \t  \t "])
def test_blanks_around_a_header_value_are_ignored(mirrored, blanks):
    line = b"X-Key:" + blanks + b"a b" + blanks + b"\r\n"
    assert ["x-key", "a b"] in send_request(mirrored, request(b"GET", b"/", line)).json["headers"]


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://localhost:8000/a?b=c", "/a", "localhost:8000"),
        (b"http://elsewhere/a?b=c", "/a", "elsewhere"),
        (b"http://elsewhere?b=c", "/", "elsewhere"),
        (b"http://user:secret@elsewhere/a?b=c", "/a", "elsewhere"),
        (b"http://[::1]:8000/a?b=c", "/a", "[::1]:8000"),
    ],
)
def test_an_absolute_target_is_the_path_and_the_host_it_names(mirrored, target, path, host):
    seen = send_request(mirrored, request(b"GET", target)).json
    assert (seen["path"], seen["query"]) == (path, "b=c")
    assert [value for name, value in seen["headers"] if name == "host"] == [host]


BAD = {
    "a length and chunks": request(b"POST", b"/", CHUNKED, body=b"abc"),
    "chunks and a length": request(b"POST", b"/", b"Content-Length: 3\r\n", CHUNKED) + b"abc",
    "two lengths": request(b"POST", b"/", b"Content-Length: 2\r\n", body=b"abc"),
    "the same length twice": request(b"POST", b"/", b"Content-Length: 3\r\n", body=b"abc"),
    "a negative length": request(b"POST", b"/", b"Content-Length: -3\r\n") + b"abc",
    "a length with a plus": request(b"POST", b"/", b"Content-Length: +3\r\n") + b"abc",
    "chunked twice": request(b"POST", b"/", b"Transfer-Encoding: chunked, identity\r\n") + chunked(b"abc"),
    "a blank before the colon": request(b"POST", b"/", b"Content-Length : 3\r\n") + b"abc",
    "a folded header": request(b"GET", b"/", b"X-A: b\r\n c\r\n"),
    "NUL in a header": request(b"GET", b"/", b"X-A: b\x00c\r\n"),
    "bare line feeds": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "HTTP/2.0": request(version=b"2.0"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": request(b"FETCH"),
    "a method in small letters": request(b"get"),
    "CONNECT": request(b"CONNECT", b"localhost:443"),
    "bytes in the query": request(b"GET", b"/?a=\xff"),
    "a chunk without a size": request(b"POST", b"/", CHUNKED) + b"zz\r\n",
    "a chunk with a wrong size": request(b"POST", b"/", CHUNKED) + b"2\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_invalid_http_is_400_and_closes_the_connection(mirrored, sent):
    with Caller(mirrored) as caller:
        refused(caller.send(sent + request(b"GET", b"/smuggled")).answer(), 400, "HTTP|proxy")
        assert caller.closed()


def test_excess_body_is_not_parsed_as_a_request(mirrored):
    with Caller(mirrored) as caller:
        caller.send(request(b"POST", b"/", b"Content-Length: 3\r\n") + b"abcdefgh\r\n\r\n" + request())
        assert caller.answer().json["body"] == "abc"
        refused(caller.answer(), 400, "not an HTTP/1.1 request")
        assert caller.closed()


def test_incomplete_body_is_refused_in_order(mirrored):
    broken = request(b"POST", b"/broken", CHUNKED) + b"3\r\nabc\r\n"
    with Caller(mirrored) as caller:
        caller.send(request(b"GET", b"/first") + broken, b"zz\r\n", pause=0.2)
        assert caller.answer().json["path"] == "/first"
        refused(caller.answer(), 400, "not an HTTP/1.1 request")
        assert caller.closed()


HUGE = 200_000
TOO_LARGE = {
    "a URL": (request(b"GET", b"/" + b"a" * HUGE), 414, "URL"),
    "a query": (request(b"GET", b"/?" + b"a" * HUGE), 414, "URL"),
    "a URL that is just too long": (request(b"GET", b"/" + b"a" * (16 * 1024)), 414, "16 KiB"),
    "a value": (request(b"GET", b"/", b"X-A: " + b"a" * HUGE + b"\r\n"), 431, "32 KiB"),
    "a value that is just too long": (request(b"GET", b"/", b"X-A: " + b"a" * 8190 + b"\r\n"), 431, "8 KiB"),
    "a name": (request(b"GET", b"/", b"X" * HUGE + b": a\r\n"), 431, "32 KiB"),
    "ten thousand headers": (request(b"GET", b"/", *(b"X-%d: a\r\n" % n for n in range(10_000))), 431, "100 headers"),
    "101 headers": (request(b"GET", b"/", *(b"X-%d: a\r\n" % n for n in range(100))), 431, "100 headers"),
    "large headers together": (request(b"GET", b"/", *(b"X-%d: %b\r\n" % (n, b"a" * 4000) for n in range(9))), 431, "32"),
    "a trailer": (request(b"POST", b"/", CHUNKED) + chunked(b"a", trailer=b"X-A: " + b"a" * HUGE + b"\r\n"), 431, "KiB"),
    "many trailers": (request(b"POST", b"/", CHUNKED) + chunked(b"a", trailer=b"X: a\r\n" * 200), 431, "100 headers"),
    "a chunk extension": (request(b"POST", b"/", CHUNKED) + b"1;" + b"a" * HUGE + b"\r\na\r\n0\r\n\r\n", 431, "KiB"),
    "line ends": (b"\r\n" * HUGE, 431, "KiB"),
    "the URL of a websocket": (request(b"GET", b"/?" + b"a" * 8100, HANDSHAKE), 414, "websocket"),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "words"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_too_large_input_gets_the_standard_error(mirrored, sent, status, words):
    with Caller(mirrored) as caller:
        refused(caller.send(sent).answer(), status, words)
        assert caller.closed()


def test_input_at_the_limits_is_read(mirrored):
    lines = [b"X-%d: %b\r\n" % (n, b"a" * 200) for n in range(98)]
    answer = send_request(
        mirrored, request(b"GET", b"/?" + b"a" * (16 * 1024 - 2), *lines, b"X-A: " + b"a" * 8189 + b"\r\n")
    )
    assert (answer.status, len(answer.json["headers"])) == (200, 100)


def test_head_is_refused_without_a_body(mirrored):
    with Caller(mirrored) as caller:
        answer = caller.send(request(b"HEAD", b"/" + b"a" * HUGE)).answer(b"HEAD")
        assert (answer.status, int(answer.headers["content-length"]) > 0) == (414, True)
        assert caller.closed()


def test_requests_sent_ahead_are_answered_in_order_and_bounded_in_number(mirrored):
    with Caller(mirrored) as caller:
        caller.send(b"".join(request(b"GET", b"/%d" % n) for n in range(300)))
        paths = [caller.answer().json["path"] for n in range(101)]
        assert paths == [f"/{n}" for n in range(101)]
        refused(caller.answer(), 400, "At most 100 requests")
        assert caller.closed()


def test_a_connection_without_a_request_is_closed(serve, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    port = serve(mirror)
    with Caller(port, seconds=3) as caller:
        assert caller.closed()
    for beginning in (b"G", b"GET / HTTP/1.1\r\nHost: local", request()[:-2], b"\r\n"):
        with Caller(port, seconds=3) as caller:
            refused(caller.send(beginning).answer(), 408, "in time")
            assert caller.closed()
    with Caller(port, seconds=3) as caller:
        caller.send(request(b"GET", b"/first")).answer()
        refused(caller.send(b"GET /second HT").answer(), 408, "in time")


def test_slow_headers_have_the_same_time_limit(serve, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    with Caller(serve(mirror), seconds=3) as caller:
        caller.send(b"GET / HTTP/1.1\r\n", *[HOST] * 20, pause=0.1)
        refused(caller.answer(), 408, "in time")


def test_unread_answer_is_aborted(serve, monkeypatch):
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.3)
    ended = []

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        ended.append(True)
        await send({"type": "http.response.body", "body": b""})

    with Caller(serve(endless)) as caller:
        caller.send(request())
        wait_until(lambda: ended, 5, "the application is released")
