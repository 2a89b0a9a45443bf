"""Load on an HTTP server over kept connections: requests per second and latencies.

One thread writes and reads raw sockets, so that the load costs far less CPU than any server measured.
"""

import math
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

RECEIVE_BYTES = 256 * 1024
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Call:
    """One request, sent again and again."""

    method: str
    path: str
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def message(self, port: int) -> bytes:
        """The request as sent."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}"] if self.body else []
        return ("\r\n".join([*lines, "", ""]) + self.body).encode()


@dataclass(frozen=True)
class Load:
    """Result of one run; a failed request is one without an answer, or with a status of 400 or more.

    `load_us` is the CPU time of the load itself for each request.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    load_us: float = 0.0


class Caller:
    """One connection with at most one request under way, whose answer has a Content-Length.

    Between the starts of two requests are at least `pause` seconds.
    """

    def __init__(self, port: int, pause: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.head, self.received, self.expected, self.status = b"", 0, 0, 0
        self.pause, self.due_at, self.sent_at, self.is_idle = pause, 0.0, 0.0, True

    def send_if_due(self, messages: Iterator[bytes]) -> None:
        """Send the next request, which is smaller than any send buffer, if its time has come."""
        now = time.perf_counter()
        self.is_idle = now < self.due_at
        if not self.is_idle:
            self.head, self.received, self.expected = b"", 0, 0
            self.sent_at, self.due_at = now, max(self.due_at, now - self.pause) + self.pause
            self.socket.send(next(messages))

    def receive(self) -> bool:
        """Read what is there; whether the answer is complete."""
        part = self.socket.recv(RECEIVE_BYTES)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.received += len(part)
        if not self.expected:
            self.head += part
            if b"\r\n\r\n" not in self.head:
                return False
            self.status, self.expected = int(self.head[9:12]), answer_length(self.head)
        return self.received >= self.expected


def answer_length(start: bytes) -> int:
    """Bytes of an answer whose headers are complete, headers included."""
    head_end = start.index(b"\r\n\r\n") + 4
    head = start[:head_end].lower()
    place = head.find(b"\r\ncontent-length:")
    return head_end + (int(head[place + 17 : head.index(b"\r\n", place + 17)]) if place >= 0 else 0)


def run(
    port: int,
    calls: Sequence[Call],
    connections: int,
    seconds: float,
    most_per_second: float = math.inf,
    stopping: threading.Event | None = None,
) -> Load:
    """Send requests in turn over some connections, as fast as they are answered or at most so many per second."""
    messages, waits, failed = cycle([call.message(port) for call in calls]), [], 0
    begun, begun_cpu = time.perf_counter(), time.thread_time()
    until, poll, callers = begun + seconds, select.epoll(), {}
    pause = connections / most_per_second

    def connect() -> None:
        caller = Caller(port, pause)
        callers[caller.socket.fileno()] = caller
        poll.register(caller.socket.fileno(), select.EPOLLIN)
        caller.send_if_due(messages)

    for _ in range(connections):
        connect()
    while (now := time.perf_counter()) < until and not (stopping and stopping.is_set()):
        idle = [caller for caller in callers.values() if caller.is_idle] if pause else []
        for caller in idle:
            caller.send_if_due(messages)
        for descriptor, _ in poll.poll(max(0.0, min([until, *(caller.due_at for caller in idle)]) - now)):
            caller = callers[descriptor]
            try:
                if caller.receive():
                    waits.append(time.perf_counter() - caller.sent_at)
                    failed += caller.status >= 400
                    caller.send_if_due(messages)
            except (OSError, ValueError):
                failed += 1
                callers.pop(descriptor).socket.close()
                connect()
    took, took_cpu = time.perf_counter() - begun, time.thread_time() - begun_cpu
    for caller in callers.values():
        caller.socket.close()
    poll.close()
    waits.sort()
    p50, p99 = (round(waits[int(len(waits) * share)] * 1000, 3) if waits else float("nan") for share in (0.5, 0.99))
    return Load(round(len(waits) / took, 1), p50, p99, failed, round(1e6 * took_cpu / max(1, len(waits)), 1))
