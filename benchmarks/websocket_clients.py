"""Minimal websocket clients for benchmarks, so that the servers are what is measured."""

import asyncio
import json
import os
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

CONNECTING = 50
"""Handshakes at once."""
SECONDS = 60.0


class Client(asyncio.Protocol):
    """Websocket client that checks the order of signals and answers pings."""

    def __init__(self, path: str, key: str, on_signal: Callable[[], None]) -> None:
        self.path, self.key, self.on_signal = path, key, on_signal
        self.buffer = b""
        self.upgraded = False
        self.last_seq: int | None = None
        self.lost = self.disordered = self.received = 0
        self.texts: asyncio.Queue[bytes] = asyncio.Queue()
        self.is_open = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        token = b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {token}\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {self.key}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_open = False

    def data_received(self, chunk: bytes) -> None:
        self.buffer = self.buffer + chunk if self.buffer else chunk
        if not self.upgraded:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.upgraded, self.buffer = True, rest
            self.texts.put_nowait(head)
        while (frame := self._next()) is not None:
            self._take(*frame)

    def _next(self) -> tuple[int, bytes] | None:
        """Opcode and content of the server's next frame, which is neither masked nor fragmented."""
        if len(self.buffer) < 4 and (len(self.buffer) < 2 or self.buffer[1] > len(self.buffer) - 2):
            return None
        length, start = self.buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(self.buffer[2:4]), 4
        if len(self.buffer) < start + length:
            return None
        content = self.buffer[start : start + length]
        opcode, self.buffer = self.buffer[0] & 0x0F, self.buffer[start + length :]
        return opcode, content

    def _take(self, opcode: int, content: bytes) -> None:
        if opcode == 9:
            self._write(0x8A, content)
        elif content.startswith(b'{"type":"signal"'):
            start = content.index(b'"seq":') + 6
            seq = int(content[start : content.index(b",", start)])
            if self.last_seq is not None:
                self.lost += max(0, seq - self.last_seq - 1)
                self.disordered += seq <= self.last_seq
            self.last_seq = seq
            self.received += 1
            self.on_signal()
        elif not content.startswith(b'{"type":"heartbeat"'):
            self.texts.put_nowait(content)

    def send(self, message: dict[str, object]) -> None:
        self._write(0x81, json.dumps(message).encode())

    def _write(self, first: int, content: bytes) -> None:
        length = len(content)
        size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2)
        self.transport.write(bytes([first]) + size + bytes(4) + content)

    async def next_text(self, part: bytes) -> bytes:
        """Next message that is not a signal; it must contain this part."""
        text = await asyncio.wait_for(self.texts.get(), SECONDS)
        if part not in text:
            raise SystemExit(f"expected {part!r}, received {text[:200]!r}")
        return text


class ClientGroup:
    """Clients of one server, and an event set when all expected signals were received."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.clients: list[Client] = []
        self.missing = 0
        self.complete = asyncio.Event()
        self.last_at = 0.0

    def count_received(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.last_at = time.perf_counter()
            self.complete.set()

    async def connect(self, port: int, path: str, symbols: list[list[str]]) -> None:
        """Connect a client for each list of symbols, and subscribe it to them if there are any."""
        places = asyncio.Semaphore(CONNECTING)

        async def connect_one(subscribed: list[str]) -> None:
            async with places:
                self.clients.append(await self._connected(port, path, subscribed))

        await asyncio.gather(*(connect_one(part) for part in symbols))

    async def _connected(self, port: int, path: str, symbols: list[str]) -> Client:
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(path, self.key, self.count_received), "127.0.0.1", port
        )
        await client.next_text(b" 101 ")
        if symbols:
            await client.next_text(b"authenticated")
            client.send({"type": "subscribe", "symbols": symbols})
            await client.next_text(b"subscribed")
            await client.next_text(b"snapshot")
        return client

    def expect(self, signals: int = 1) -> None:
        """Count from now on, until every client has received so many signals.

        Called before a signal is written: the hub also reads the log every few seconds by itself.
        """
        self.missing = len(self.clients) * signals
        self.complete.clear()

    async def time(self, publish: Callable[[], Awaitable[object]]) -> float:
        """Seconds from the start of `publish` until the last client has received what is expected.

        Not above zero if the hub was faster than `publish`.
        """
        started = time.perf_counter()
        publishing = asyncio.ensure_future(publish())
        try:
            await asyncio.wait_for(self.complete.wait(), SECONDS)
        except TimeoutError:
            raise SystemExit(f"{self.missing} signals were not received within {SECONDS} s") from None
        await publishing
        return self.last_at - started

    def close(self) -> None:
        for client in self.clients:
            client.transport.close()

    def count_open(self) -> int:
        return sum(client.is_open for client in self.clients)
