"""Requests that the application answers as soon as they are complete, and all others of the same path."""

import asyncio
from types import SimpleNamespace

import pytest

from mlengine_project.http.known_requests import known_requests
from tests.mlengine_project.http.server.conftest import mirror
from tests.mlengine_project.http.server.sockets import Caller, chunked, request

NOW = request(b"POST", b"/predictions", body=b"now")
LATER = request(b"POST", b"/predictions", body=b"later")
SOON = request(b"POST", b"/predictions", body=b"soon")
NEVER = request(b"POST", b"/predictions", body=b"never")


class AtOnce:
    """An application that answers the body `now` at once, and records whom it answered so."""

    def __init__(self):
        self.is_ready, self.answered, self.started = True, [], 0

    async def __call__(self, scope, receive, send):
        self.started += 1
        await mirror(scope, receive, send)

    def answer_now(self, scope, body):
        if body == b"broken":
            raise LookupError
        if body != b"now" or not self.is_ready:
            return None
        self.answered.append((scope["client"], dict(scope["headers"])))
        content = b"%d at once" % len(self.answered)
        return ready(content)

    def answer_soon(self, scope, body, deliver):
        finishes = {b"soon": lambda: ready(b"soon"), b"never": lambda: None, b"failing": {}.popitem}
        finish = finishes.get(body)
        if finish is None:
            return False
        asyncio.get_running_loop().call_later(0.2, deliver, finish)
        return True


def ready(content):
    return SimpleNamespace(head=b"content-length: %d\r\n" % len(content), content=content)


@pytest.fixture(scope="module")
def application():
    return AtOnce()


@pytest.fixture(scope="module")
def port(serve, application):
    return serve(application)


@pytest.fixture(autouse=True)
def _nothing_known(application):
    known_requests.parsed.clear()
    application.is_ready = True
    application.answered.clear()
    application.started = 0


def test_equal_requests_are_parsed_once_and_answered_each_time(port):
    with Caller(port) as caller:
        bodies = [caller.send(NOW).answer().body for _ in range(4)]
    assert bodies == [b"1 at once", b"2 at once", b"3 at once", b"4 at once"]
    assert list(known_requests.parsed) == [NOW]


def test_requests_in_one_packet_are_answered_in_order(port):
    with Caller(port) as caller:
        caller.send(NOW + LATER + NOW + LATER)
        bodies = [caller.answer().body for _ in range(4)]
        assert caller.send(NOW).answer().body.endswith(b"at once")
    assert bodies[0] == b"1 at once"
    assert [b'"body":"later"' in body for body in bodies] == [False, True, False, True]


@pytest.mark.parametrize("parts", [
    (NOW[:20], NOW[20:]),
    (NOW[:-1], NOW[-1:]),
    (request(b"POST", b"/predictions", b"Transfer-Encoding: chunked\r\n") + chunked(b"n", b"ow"),),
    (request(b"POST", b"/predictions", b"Connection: close\r\n", body=b"now"),),
    (request(b"POST", b"/predictions", body=b"now", version=b"1.0"),),
    (request(b"POST", b"/predictions", body=b"broken"),),
    (request(b"POST", b"/predictions?x=1", body=b"now"),),
])  # fmt: skip
def test_other_forms_are_answered_too(port, parts):
    with Caller(port) as caller:
        answer = caller.send(*parts, pause=0.1).answer()
    assert (answer.status, bool(answer.body)) == (200, True)


def test_known_request_is_the_application_s_while_no_answer_is_ready(port, application):
    with Caller(port) as caller:
        assert caller.send(NOW).answer().body == b"1 at once"
        application.is_ready = False
        assert b'"body":"now"' in caller.send(NOW).answer().body
        application.is_ready = True
        assert caller.send(NOW).answer().body == b"2 at once"


def test_known_request_within_another_one_is_not_taken_for_its_own(port):
    with Caller(port) as caller:
        caller.send(NOW).answer()
        outer = request(b"POST", b"/elsewhere", body=NOW)
        assert caller.send(outer[: -len(NOW)], NOW, pause=0.1).answer().json["path"] == "/elsewhere"


def test_known_request_has_the_address_of_its_connection(port, application):
    for _ in range(2):
        with Caller(port) as caller:
            caller.send(NOW).answer()
    assert len({client for client, _ in application.answered}) == 2


def test_answer_that_is_computed_is_written_without_a_task(port, application):
    with Caller(port) as caller:
        assert caller.send(SOON).answer().body == b"soon"
        assert caller.send(NOW).answer().body == b"1 at once"
    assert application.started == 0


def test_request_whose_answer_was_not_computed_is_started(port, application):
    with Caller(port) as caller:
        assert b'"body":"never"' in caller.send(NEVER).answer().body
        assert caller.send(SOON).answer().body == b"soon"
    assert application.started == 1


def test_request_whose_answer_cannot_be_finished_is_started(port, application):
    with Caller(port) as caller:
        assert b'"body":"failing"' in caller.send(request(b"POST", b"/predictions", body=b"failing")).answer().body
    assert application.started == 1


def test_requests_behind_one_that_waits_are_answered_in_order(port):
    with Caller(port) as caller:
        caller.send(SOON + NOW + NEVER + LATER)
        bodies = [caller.answer().body for _ in range(4)]
    assert bodies[0] == b"soon"
    assert all(
        b'"body":"%b"' % name in body for name, body in zip((b"now", b"never", b"later"), bodies[1:], strict=True)
    )


def test_caller_that_left_gets_nothing_and_disturbs_no_other(port, application):
    with Caller(port) as caller:
        caller.send(SOON)
    with Caller(port) as caller:
        assert caller.send(SOON).answer().body == b"soon"
    assert application.started == 0
