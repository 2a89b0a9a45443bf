"""ASGI middleware that runs Django's requests in a fixed set of threads with database connections.

Django gives every request a new thread. A connection belongs to its thread: it is either opened for each request or
left open by each. Here threads are reused, so a process holds as many connections as it has threads, and further
requests wait in the event loop, where waiting is cheap.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from django.db import close_old_connections

from mlengine_project.http.asgi_types import Application, AsgiScope, Message, Receive, Send

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROBE_PATHS = frozenset({"/health", "/health/ready"})
"""Paths with threads of their own, so that they answer while other requests wait."""
PROBE_THREADS = 2
THREAD = "mlengine.thread"
"""Name in a scope of the executor whose only thread the request runs in."""
CLOSE_SECONDS = 30.0
"""How often idle threads check whether their connection is older than CONN_MAX_AGE."""


class ThreadSet:
    """A set of reused threads; the one used last is taken first, so that idle ones close their connections."""

    def __init__(self, count: int) -> None:
        self.idle = [ThreadPoolExecutor(max_workers=1, thread_name_prefix="request") for _ in range(count)]
        self.free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[ThreadPoolExecutor]:
        """Wait for a thread and keep it until the end of the block."""
        async with self.free:
            thread = self.idle.pop()
            try:
                yield thread
            finally:
                self.idle.append(thread)

    def close_old(self) -> None:
        """Close the connections of idle threads that are older than CONN_MAX_AGE."""
        for thread in self.idle:
            thread.submit(close_old_connections)


class RequestThreads:
    """ASGI middleware around Django.

    At most half of the threads run requests that write, so that slow ones do not block reads. A thread is released
    when the answer begins, so a caller that reads slowly does not hold one.
    """

    def __init__(self, application: Application, count: int) -> None:
        self.application = application
        self.threads, self.probes = ThreadSet(count), ThreadSet(PROBE_THREADS)
        self.writing = asyncio.Semaphore(count // 2)
        self.running: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Wait for a thread, then run the request; a caller that disconnects leaves the queue."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        if self._closing is None or self._closing.done():
            self._closing = asyncio.create_task(self._close_regularly())
        async with AsyncExitStack() as turn:
            if scope["path"] in PROBE_PATHS:
                thread = await turn.enter_async_context(self.probes.acquire())
            else:
                if scope["method"] not in READ_METHODS:
                    await turn.enter_async_context(self.writing)
                thread = await turn.enter_async_context(self.threads.acquire())
            # A thread cannot be stopped: if the caller disconnects now, the request still runs to its end.
            task = asyncio.create_task(self._run(turn.pop_all(), thread, scope, receive, send))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        await asyncio.shield(task)

    async def _run(
        self, turn: AsyncExitStack, thread: ThreadPoolExecutor, scope: AsgiScope, receive: Receive, send: Send
    ) -> None:
        async def sending(message: Message) -> None:
            await turn.aclose()
            await send(message)

        async with turn:
            await self.application({**scope, THREAD: thread}, receive, sending)

    async def _close_regularly(self) -> None:
        while True:
            await asyncio.sleep(CLOSE_SECONDS)
            self.threads.close_old()
            self.probes.close_old()
