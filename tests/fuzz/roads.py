"""Pairs of mutated requests: as the engine answers them and by Django alone, compared byte by byte.

Most ask for a prediction, which the fast road may answer; the others are reads, which their action may answer directly.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connections

from mlengine_project.access import services
from mlengine_project.http.direct_reads import PATHS as READ_PATHS
from mlengine_project.http.django_handler import OneThreadHandler
from mlengine_project.http.fast_road import FastRoad
from mlengine_project.http.limits import RequestLimits
from mlengine_project.http.request_threads import RequestThreads
from tests.mlengine_project.buckets import empty_buckets

Headers = list[tuple[bytes, bytes]]

PLAIN = b'{"symbol": "BTCUSDT", "horizon": 6}'
BODIES = (
    PLAIN, b'{"horizon":18,"symbol":"ETHUSDT"}', b' {"symbol" :\t"BTCUSDT",\r\n"horizon": 72} ',
    b'{"\\u0073ymbol": "BTCUSDT", "horizon": 6}', b'{"symbol": "\\u0042TCUSDT", "horizon": 6}',
    b'{"symbol": "NOPE", "symbol": "BTCUSDT", "horizon": 6}', b'{"symbol": "BTCUSDT", "horizon": 7, "horizon": 6}',
    b'{"symbol": "BTCUSDT", "horizon": 6, "x": 1}', b'{"symbol": "BTCUSDT", "horizon": 6, "": null}',
    b'{"symbol": "BTCUSDT", "horizon": 6.0}', b'{"symbol": "BTCUSDT", "horizon": 6e0}', b'{"symbol": "BTCUSDT", "horizon": 0.6e1}',
    b'{"symbol": "BTCUSDT", "horizon": "6"}', b'{"symbol": "BTCUSDT", "horizon": true}', b'{"symbol": "BTCUSDT", "horizon": null}',
    b'{"symbol": "BTCUSDT", "horizon": -6}', b'{"symbol": "BTCUSDT", "horizon": -0}', b'{"symbol": "BTCUSDT", "horizon": 06}',
    b'{"symbol": "BTCUSDT", "horizon": 18446744073709551622}', b'{"symbol": "BTCUSDT", "horizon": 7}',
    b'{"symbol": "btcusdt", "horizon": 6}', b'{"symbol": "BTCUSDT ", "horizon": 6}', b'{"symbol": "SOLUSDT", "horizon": 6}',
    b'{"symbol": "", "horizon": 6}', b'{"symbol": ["BTCUSDT"], "horizon": 6}', b'{"symbol": "BTCUSDT\\u0000", "horizon": 6}',
    b'{"symbol": "' + b"B" * 60 + b'", "horizon": 6}', b'{"symbol": "\xf0\x9f\x92\xa9", "horizon": 6}',
    b"\xef\xbb\xbf" + PLAIN, PLAIN + PLAIN, PLAIN + b"\x00", b"", b"{}", b"[]", b"null", b"6", b'"BTCUSDT"', b"[" * 40, PLAIN[:-1],
    PLAIN + b" " * 1100, b" " * 989 + PLAIN, b" " * 990 + PLAIN, b'{"symbol":"BTCUSDT","horizon":6,"y":' + b"[" * 33 + b"]" * 33 + b"}",
)  # fmt: skip
HEADER_VALUES: dict[bytes, tuple[bytes, ...]] = {
    b"host": (b"127.0.0.1:8000", b"TESTSERVER", b"testserver:80", b"testserver.", b"evil.example", b"", b"testserver:x", b"[::1]"),
    b"content-type": (
        b"application/json; charset=utf-8", b"APPLICATION/JSON", b"application/json;charset=latin-1", b" application/json ",
        b"application/json,application/json", b"text/plain", b"application/x-www-form-urlencoded", b"", b"application/jsonx",
        b"multipart/form-data; boundary=x", b"application/json; charset=utf-16", b";application/json",
    ),
    b"accept": (b"*/*", b"text/html", b"application/xml", b"text/html,application/json;q=0.5", b"\xff"),
    b"accept-encoding": (b"gzip", b"br, gzip", b"identity;q=0", b"zstd"),
    b"accept-language": (b"de", b"ar-SA,ar"),
    b"user-agent": (b"curl/8", b"\xff\xfe", b"x" * 3000),
    b"connection": (b"close", b"keep-alive", b"upgrade, http2-settings"),
    b"x-request-id": (b"job-17", b"a b", b"x" * 65, b"", b"\xe9", b"<script>"),
    b"idempotency-key": (b"1", b"x" * 1000),
    b"traceparent": (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",),
    b"tracestate": (b"a=1",),
    b"origin": (b"http://localhost:3000", b"http://evil.example", b"null"),
    b"cookie": (b"sessionid=1", b"csrftoken=x; sessionid=y"),
    b"authorization": (b"Bearer mle_wrong", b"Basic eDp5"),
    b"x-forwarded-for": (b"1.2.3.4",),
    b"x-forwarded-proto": (b"https",),
    b"x-http-method-override": (b"GET",),
    b"content-encoding": (b"gzip", b"identity"),
    b"expect": (b"100-continue",),
    b"range": (b"bytes=0-3",),
    b"if-none-match": (b"*",),
    b"x_api_key": (b"wrong",),
    b"referer": (b"http://evil.example/",),
}  # fmt: skip
QUERIES = (b"x=1", b"symbol=BTCUSDT", b"format=api", b"=", b"&", b"latest=true", b"x=1&x=2", b"api_key=mle_wrong")
PATHS = (
    "/predictions/",
    "//predictions",
    "/Predictions",
    "/predictions ",
    "/signals",
    "/predictions\x00",
    "/predictions;x",
)
READ_QUERIES = (
    b"", b"limit=3", b"symbol=BTCUSDT", b"symbol=BTCUSDT&limit=5", b"symbol=ETHUSDT&limit=1000", b"symbol=BTCUSDT&limit=0",
    b"symbol=BTCUSDT&limit=5&cursor=x", b"symbol=SOLUSDT", b"symbol=NOPE", b"symbol=BTCUSDT&symbol=BTCUSDT", b"symbol=%42TCUSDT",
    b"symbol=BTCUSDT&from=2025-01-01T00:00:00%2B00:00", b"symbol=BTCUSDT&to=1735689600000&limit=2", b"symbol=BTCUSDT&after=0",
    b"after=0", b"signal_type=hold", b"signal_type=x", b"names=rsi_14,sma_20&symbol=BTCUSDT", b"names=nope&symbol=BTCUSDT",
    b"symbol=BTCUSDT&interval=1h", b"symbol=BTCUSDT&interval=5m&limit=2", b"source=simulated", b"source=exchange", b"x=1",
    b"at=2025-01-01T00:00:00Z&source=simulated", b"symbol=BTC%00", b"symbol=\xff", b"api_key=mle_wrong", b"limit", b"&&", b"limit=+5",
)  # fmt: skip
METHODS = ("GET", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "post", "TRACE")
OF_ONE_ANSWER = (
    (re.compile(rb'"request_id":"[^"]*"'), b'"request_id":""'),
    (re.compile(rb"Request <code>[0-9a-f]{32}</code>"), b"Request"),
    (re.compile(rb"r=\d+;t=\d+"), b"r;t"),
    (re.compile(rb'"at":"[^"]*"'), b'"at":""'),
    (re.compile(rb"csrftoken=\w+; expires=[^;]+"), b"csrftoken"),
)
"""Parts that differ between any two answers: request id, remaining calls, time, CSRF token and its date."""


@dataclass(frozen=True)
class ProbeRequest:
    """One request as passed by a server to an application."""

    method: str
    path: str
    query: bytes
    headers: Headers
    parts: tuple[bytes, ...]
    scheme: str = "http"

    def __str__(self) -> str:
        return f"{self.method} {self.path!r}?{self.query!r} {self.headers} {self.parts}"[:1200]


class CountingHandler(OneThreadHandler):
    """The engine's handler, with a count of the requests that Django answered."""

    n_by_django = 0

    def get_response(self, request: Any) -> Any:
        """Count and answer."""
        self.n_by_django += 1
        return super().get_response(request)


@dataclass
class Pairs:
    """Numbers of compared pairs, of answers by the fast road and directly by an action, and the differences."""

    n_pairs: int = 0
    n_fast: int = 0
    n_direct: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    differences: dict[str, str] = field(default_factory=dict)


def mutated(rng: random.Random, keys: dict[str, str]) -> ProbeRequest:
    """A request for a prediction, or a read, with up to four mutations."""
    headers: Headers = [
        (b"host", b"testserver"),
        (b"x-api-key", keys["predict"].encode()),
        (b"content-type", b"application/json"),
    ]
    method, path, query, body = "POST", "/predictions", b"", PLAIN if rng.random() < 0.6 else rng.choice(BODIES)
    scheme = "http"
    if rng.random() < 0.4:
        method, path, query, body = "GET", rng.choice(sorted(READ_PATHS)), rng.choice(READ_QUERIES), b""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4))):
        match rng.choice(
            (
                "header",
                "header",
                "header",
                "key",
                "body",
                "query",
                "path",
                "method",
                "drop",
                "double",
                "shuffle",
                "scheme",
            )
        ):
            case "header":
                name = rng.choice(tuple(HEADER_VALUES))
                headers = [pair for pair in headers if pair[0] != name]
                headers.append((name, rng.choice(HEADER_VALUES[name])))
            case "key":
                headers = [pair for pair in headers if pair[0] != b"x-api-key"] + key_headers(rng, keys)
            case "body":
                body = damaged(rng, body)
            case "query":
                query = rng.choice(QUERIES if method == "POST" else READ_QUERIES)
            case "path":
                path = rng.choice(PATHS)
            case "method":
                method = rng.choice(METHODS)
            case "drop":
                headers.pop(rng.randrange(len(headers))) if headers else None
            case "double" if headers:
                name, value = rng.choice(headers)
                headers.append((name, rng.choice((value, *HEADER_VALUES.get(name, (value,))))))
            case "shuffle":
                rng.shuffle(headers)
            case "scheme":
                scheme = "https"
    cut = rng.randrange(len(body) + 1) if rng.random() < 0.2 else None
    parts = (body,) if cut is None else (body[:cut], body[cut:])
    headers.insert(rng.randrange(len(headers) + 1), (b"content-length", str(len(body)).encode()))
    return ProbeRequest(method, path, query, headers, parts, scheme)


def key_headers(rng: random.Random, keys: dict[str, str]) -> Headers:
    """A key of another kind, or none."""
    known = [key.encode() for key in keys.values()]
    value = rng.choice(
        (
            *known,
            b"wrong",
            b"",
            known[0][:-1],
            known[0] + b"x",
            known[0].upper(),
            b"\xff",
            b"x" * 600,
            known[0] + b"x" * 600,
            None,
        )
    )
    return [] if value is None else [(b"x-api-key", value)]


def damaged(rng: random.Random, body: bytes) -> bytes:
    """A body with some bytes changed, added or removed."""
    changed = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0:
                changed.insert(at, rng.choice(b' \t\n{}[]":,0123456789-+.eE\\u\x00\xff'))
            case 1 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 2 if at < len(changed):
                del changed[at]
    return bytes(changed)


def compare(keys: dict[str, str], n_pairs: int, seed: int = 1) -> Pairs:
    """Send every request to the application with and without the fast road, and compare."""
    return asyncio.run(_compare(keys, n_pairs, random.Random(seed)))  # reproducible, not secret


async def _compare(keys: dict[str, str], n_pairs: int, rng: random.Random) -> Pairs:
    django = get_asgi_application()
    found, engine = Pairs(), CountingHandler()
    threads = RequestThreads(engine, 2)  # type: ignore[arg-type]
    fast, slow = RequestLimits(FastRoad(threads)), RequestLimits(django)  # type: ignore[arg-type]
    limit = settings.RATE_LIMIT
    try:
        for number in range(n_pairs):
            settings.RATE_LIMIT = 0 if number % 2 else 10**9
            if number % 40 == 0:  # wrong keys are counted, and the two sides would refuse at different requests
                await asyncio.to_thread(empty_buckets)
            if number % 200 == 0:  # a verified key is cached for a minute; Django sends its headers again
                await asyncio.to_thread(_verify_keys, keys)
                for scheme in ("http", "https"):
                    await answer(fast, _plain_request(keys, scheme))
                    for path in READ_PATHS:
                        await answer(fast, _plain_read(keys, scheme, path))
            request = mutated(rng, keys)
            before = engine.n_by_django
            ours = await answer(fast, request)
            found.n_fast += engine.n_by_django == before and request.method == "POST"
            found.n_direct += engine.n_by_django == before and request.method == "GET"
            theirs = await answer(slow, request)
            found.n_pairs += 1
            found.statuses[theirs[0]] += 1
            for what, one, other in zip(("status", "headers", "body"), ours, theirs, strict=True):
                if one != other:
                    found.differences.setdefault(
                        f"{what} {theirs[0]}", f"{request}\n  fast: {one!r}\n  slow: {other!r}"[:4000]
                    )
    finally:
        settings.RATE_LIMIT = limit
        for thread in (*threads.threads.idle, *threads.probes.idle):
            await asyncio.wrap_future(thread.submit(connections.close_all))
    return found


def _verify_keys(keys: dict[str, str]) -> None:
    services.clear_verified()
    for key in keys.values():
        services.authenticate_key(key)


def _plain_request(keys: dict[str, str], scheme: str) -> ProbeRequest:
    headers = [
        (b"host", b"testserver"),
        (b"x-api-key", keys["predict"].encode()),
        (b"content-type", b"application/json"),
    ]
    headers.append((b"content-length", str(len(PLAIN)).encode()))
    return ProbeRequest("POST", "/predictions", b"", headers, (PLAIN,), scheme)


def _plain_read(keys: dict[str, str], scheme: str, path: str) -> ProbeRequest:
    headers = [(b"host", b"testserver"), (b"x-api-key", keys["read"].encode())]
    query = b"" if path in {"/signals", "/models/status"} else b"symbol=BTCUSDT"
    return ProbeRequest("GET", path, query, headers, (b"",), scheme)


async def answer(application: Callable[..., Any], request: ProbeRequest) -> tuple[int, Headers, bytes]:
    """Status, sorted headers, and body of one answer, without parts that differ between answers."""
    pieces, sent = list(request.parts), []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": request.scheme,
        "path": request.path, "raw_path": request.path.encode(), "query_string": request.query, "root_path": "",
        "client": ("10.0.0.9", 1), "server": ("testserver", 80), "headers": list(request.headers),
    }  # fmt: skip
    await application(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    # Of repeated ids none is taken; the answer has a new one.
    given = [value for name, value in request.headers if name == b"x-request-id"] == [b"job-17"]
    headers = sorted(
        (name.lower(), b"" if name.lower() == b"x-request-id" and not given else masked(value))
        for name, value in sent[0]["headers"]
    )
    return sent[0]["status"], headers, masked(body)


def masked(content: bytes) -> bytes:
    """Content without parts that differ between any two answers."""
    for pattern, instead in OF_ONE_ANSWER:
        content = pattern.sub(instead, content)
    return content
