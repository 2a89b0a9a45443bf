"""Raw bytes to a server and back, without a client library that would correct them."""

import socket
import time

import orjson

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
    b"Upgrade: h2c\r\nUser-Agent: Java-http-client/21.0.1\r\n"
)
HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Answer:
    """One response, parsed as far as tests need."""

    def __init__(self, head, body):
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split(b" ")[1])
        pairs = [line.split(b": ", 1) for line in lines[1:]]
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in pairs}
        self.body = body

    @property
    def json(self):
        return orjson.loads(self.body)


def request(method=b"GET", path=b"/", *lines, body=b"", version=b"1.1", host=HOST):
    """A request as bytes; `lines` are header lines with their line ends."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/%b\r\n%b%b%b\r\n%b" % (method, path, version, host, b"".join(lines), length, body)


def chunked(*parts, trailer=b""):
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n%b\r\n" % trailer


class Caller:
    """One connection to a server."""

    def __init__(self, port, seconds=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts, pause=0.0):
        """Send each part; a closed connection is noticed when reading."""
        for number, part in enumerate(parts):
            if number and pause:
                time.sleep(pause)
            try:
                self.socket.sendall(part)
            except OSError:
                return self
        return self

    def answer(self, method=b"GET"):
        """The next response, including 100 Continue."""
        head = self._until(b"\r\n\r\n")
        found = Answer(head, b"")
        if method != b"HEAD" and found.status != 100:
            found.body = self._take(int(found.headers.get("content-length", 0)))
        return found

    def closed(self):
        """Whether the server closes the connection without sending more."""
        if self.kept:
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def _until(self, mark):
        while mark not in self.kept:
            part = self.socket.recv(65536)
            assert part, f"closed after {self.kept!r}"
            self.kept += part
        found, _, self.kept = self.kept.partition(mark)
        return found

    def _take(self, size):
        while len(self.kept) < size:
            part = self.socket.recv(65536)
            assert part, f"closed after {len(self.kept)} of {size} bytes"
            self.kept += part
        found, self.kept = self.kept[:size], self.kept[size:]
        return found


def send_request(port, *parts, method=b"GET"):
    """One request on a connection of its own."""
    with Caller(port) as caller:
        return caller.send(*parts).answer(method)
