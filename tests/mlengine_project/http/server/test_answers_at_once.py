"""Requests that the application answers as soon as they are complete, and all others of the same path."""

from types import SimpleNamespace

import pytest

from mlengine_project.http import protocol
from tests.mlengine_project.http.server.conftest import mirror
from tests.mlengine_project.http.server.sockets import Caller, chunked, request

NOW = request(b"POST", b"/predictions", body=b"now")
LATER = request(b"POST", b"/predictions", body=b"later")


class AtOnce:
    """An application that answers the body `now` at once, and records whom it answered so."""

    def __init__(self):
        self.is_ready, self.answered = True, []

    async def __call__(self, scope, receive, send):
        await mirror(scope, receive, send)

    def answer_now(self, scope, body):
        if body == b"broken":
            raise LookupError
        if body != b"now" or not self.is_ready:
            return None
        self.answered.append((scope["client"], dict(scope["headers"])))
        content = b"%d at once" % len(self.answered)
        return SimpleNamespace(head=b"content-length: %d\r\n" % len(content), content=content)


@pytest.fixture(scope="module")
def application():
    return AtOnce()


@pytest.fixture(scope="module")
def port(serve, application):
    return serve(application)


@pytest.fixture(autouse=True)
def _nothing_known(application):
    protocol.known_requests.clear()
    application.is_ready = True
    application.answered.clear()


def test_equal_requests_are_parsed_once_and_answered_each_time(port):
    with Caller(port) as caller:
        bodies = [caller.send(NOW).answer().body for _ in range(4)]
    assert bodies == [b"1 at once", b"2 at once", b"3 at once", b"4 at once"]
    assert list(protocol.known_requests) == [NOW]


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
