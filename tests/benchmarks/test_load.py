"""Load of the benchmarks: requests are complete, counted, and fail where the server fails."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import Call, run


class Handler(BaseHTTPRequestHandler):
    """Answers a body of 100 KB in two writes; 503 to every body that says so."""

    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).received += 1
        self.send_response(503 if body == b"refuse" else 200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 100_000)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Server that reports no connection which the load closes at its end."""

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def port():
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_answer_is_counted(port):
    before = Handler.received
    load = run(port, [Call("POST", "/", "hello")], 4, 0.3)
    answered = load.per_second * 0.3
    assert load.failed == 0
    assert 0 < load.p50_ms <= load.p99_ms
    assert answered * 0.5 <= Handler.received - before <= answered * 2 + 8


def test_refusals_are_failures(port):
    load = run(port, [Call("POST", "/", "refuse")], 2, 0.2)
    assert load.failed > 0


def test_requests_are_sent_at_most_so_often(port):
    before = Handler.received
    load = run(port, [Call("POST", "/", "hello")], 4, 0.5, most_per_second=40)
    assert load.failed == 0
    assert 10 <= Handler.received - before <= 40 * 0.5 + 4


def test_requests_are_sent_in_turns(port):
    assert run(port, [Call("POST", "/", "hello"), Call("POST", "/", "refuse")], 1, 0.3).failed > 0
