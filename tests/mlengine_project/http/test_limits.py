"""Request limits: body size, body time, and request time."""

import asyncio

import orjson
import pytest

from mlengine_project.http import limits
from mlengine_project.http.limits import RequestLimits

CHUNKED = [(b"transfer-encoding", b"chunked")]
SCOPE = {"type": "http", "method": "POST", "path": "/predictions", "query_string": b"", "headers": CHUNKED}


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"") + message["type"].encode()})


async def through(application, messages, scope=SCOPE):
    waiting, sent = list(messages), []

    async def receive():
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await RequestLimits(application)(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_body_in_parts_is_joined():
    assert await through(echo, [part(b"one ", True), part(b"two ", True), part(b"three ")]) == (
        200,
        b"one two three http.request",
    )


async def test_disconnect_is_passed_on():
    assert await through(echo, [part(b"one", True), {"type": "http.disconnect"}]) == (200, b"http.disconnect")


async def test_chunked_body_gets_a_content_length():
    seen = []

    async def looking(scope, receive, send):
        seen.extend(scope["headers"])
        await echo(scope, receive, send)

    await through(looking, [part(b"one ", True), part(b"two")])
    assert seen == [(b"content-length", b"7")]


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "DELETE", "PURGE"])
@pytest.mark.parametrize("declared", [CHUNKED, [(b"content-length", b"300000")], [(b"content-length", b"9" * 5000)]])
async def test_body_over_the_limit_is_413_and_not_stored(declared, method):
    scope = {**SCOPE, "method": method, "headers": declared}
    status, content = await through(echo, [part(b"x" * 100_000, True)] * 3, scope)
    assert (status, orjson.loads(content)["error"]) == (413, "PayloadTooLarge")


async def test_a_body_without_an_end_is_408(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    status, content = await through(echo, [part(b"x", True)])
    payload = orjson.loads(content)
    assert (status, payload["path"]) == (408, "/predictions")
    assert payload["request_id"]


async def test_slow_answer_is_503_once(monkeypatch):
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.05)
    late = []

    async def slow(scope, receive, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            late.append("ended")
            await send({"type": "http.response.start", "status": 200, "headers": []})

    status, content = await through(slow, [part(b"{}")])
    await asyncio.sleep(0)
    assert (status, orjson.loads(content)["error"]) == (503, "ServiceUnavailable")
    assert late == ["ended"]


async def test_started_answer_may_end_after_the_deadline(monkeypatch):
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.05)

    async def streaming(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.2)
        await send({"type": "http.response.body", "body": b"all of it"})

    assert await through(streaming, [part(b"{}")]) == (200, b"all of it")


async def test_application_error_reaches_the_server():
    async def broken(scope, receive, send):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await through(broken, [part(b"{}")])


async def test_a_request_without_a_body_is_not_read():
    async def unread(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    for headers in ([], [(b"content-length", b"0")]):
        assert await through(unread, [], {**SCOPE, "headers": headers}) == (200, b"ok")


async def test_rest_of_a_refused_body_is_discarded_for_a_limited_time(monkeypatch):
    monkeypatch.setattr(limits, "DISCARD_SECONDS", 0.2)
    taken, sent = 0, []

    async def receive():
        nonlocal taken
        taken += 1
        await asyncio.sleep(0.01)
        return part(b"x" * 10_000, True)

    async def send(message):
        sent.append((taken, message))

    await RequestLimits(echo)({**SCOPE, "headers": [(b"content-length", b"300000")]}, receive, send)
    assert [(before, message.get("more_body")) for before, message in sent[:2]] == [(0, None), (0, True)]
    assert 1 < sent[-1][0] < 40
