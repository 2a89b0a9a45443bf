"""A TLS proxy in front of a server, which sets the request headers a proxy's configuration names."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import threading

import pytest

README_HEADERS = {
    "Host": "$http_host",
    "Upgrade": "$http_upgrade",
    "Connection": "upgrade",
    "X-Forwarded-Proto": "$scheme",
    "X-Forwarded-For": "$proxy_add_x_forwarded_for",
}
"""`proxy_set_header` lines of the configuration in the documentation, in nginx's own words."""


def certificate(folder):
    """A self-signed certificate for localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate_file, key_file = folder / "proxy.pem", folder / "proxy.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key_file), "-out", str(certificate_file)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate_file, key_file


class TlsProxy:
    """`with TlsProxy(port, folder) as proxy`: one request a connection, then bytes both ways until one side ends."""

    def __init__(self, server_port, folder, headers=README_HEADERS, peer=None):
        self.server_port, self.headers, self.peer = server_port, headers, peer
        self.certificate_file, key_file = certificate(folder)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.certificate_file, key_file)
        self.client_context = ssl.create_default_context(cafile=str(self.certificate_file))
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        listen = asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.server = asyncio.run_coroutine_threadsafe(listen, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def stop(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        peer = self.peer or writer.get_extra_info("peername")[0]
        ended = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError)
        with contextlib.closing(writer), contextlib.suppress(*ended):
            head = await reader.readuntil(b"\r\n\r\n")
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
            upstream_writer.write(self.rewritten(head, peer))
            await asyncio.gather(self.pipe(reader, upstream_writer), self.pipe(upstream_reader, writer))

    def rewritten(self, head, peer):
        """The head of a request with the headers of the configuration in place of the client's."""
        request_line, *lines = head.decode("latin-1").strip().split("\r\n")
        given = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        host = given.get("host", "")
        variables = {
            "$http_host": host,
            "$host": host.partition(":")[0],
            "$scheme": "https",
            "$http_upgrade": given.get("upgrade", ""),
            "$proxy_add_x_forwarded_for": ", ".join(filter(None, [given.get("x-forwarded-for"), peer])),
        }
        for name, value in self.headers.items():
            given[name.lower()] = variables.get(value, value)
        return "\r\n".join([request_line, *(f"{n}: {v}" for n, v in given.items() if v), "", ""]).encode("latin-1")

    @staticmethod
    async def pipe(reader, writer):
        try:
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
        finally:
            with contextlib.suppress(ConnectionError, RuntimeError):
                writer.close()
