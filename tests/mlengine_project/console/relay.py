"""A relay between a browser and the server whose connections can be cut and restored."""

import asyncio
import contextlib
import threading


class Relay:
    """`with Relay(server_port) as relay`: bytes both ways, until `cut` ends every connection."""

    def __init__(self, server_port):
        self.server_port, self.is_cut, self.writers = server_port, False, set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.cut()
        self._run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def cut(self):
        """End every connection, and each new one at once."""
        self._run(self._cut())

    def restore(self):
        """Serve new connections again."""
        self.is_cut = False

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _cut(self):
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()

    async def _stop(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        if self.is_cut:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        both = {writer, server_writer}
        self.writers |= both
        try:
            await asyncio.gather(self._pipe(reader, server_writer), self._pipe(server_reader, writer))
        finally:
            self.writers -= both

    @staticmethod
    async def _pipe(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
        with contextlib.suppress(ConnectionError, RuntimeError):
            writer.close()
