"""Ready frames on real websockets, by the server and options of the Dockerfile and of `up`."""

import asyncio
import contextlib

import pytest
import uvicorn
import websockets

from mlengine_project.http.websocket_protocol import ReadyFrameProtocol
from signals.delivery.protocol import WRITE_READY, Outgoing
from tests.flows.processes import free_port, image_command


def server_options():
    """Options of the websocket in the Dockerfile's command."""
    words = image_command()
    value = {word: words[at + 1] for at, word in enumerate(words) if word.startswith("--ws")}
    return {
        "ws": value["--ws"], "ws_max_size": int(value["--ws-max-size"]),
        "ws_per_message_deflate": value["--ws-per-message-deflate"] == "true",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def serving(application, **options):
    """Address of a server of this application."""
    port = free_port()
    config = uvicorn.Config(
        application, port=port, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **options
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


def sender(work, wrote):
    """Application that accepts, then runs `work(write_ready, send)` at the first message."""

    async def application(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.receive"
        wrote.append(await work(scope["extensions"][WRITE_READY], send))
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return application


def test_the_image_uses_the_protocol_without_compression():
    options = server_options()
    assert options["ws"] == f"{ReadyFrameProtocol.__module__}:{ReadyFrameProtocol.__qualname__}"
    assert options["ws_per_message_deflate"] is False


async def test_no_compression_is_agreed_on():
    async with (
        serving(sender(None, []), **server_options()) as address,
        websockets.connect(address, compression="deflate") as client,
    ):
        assert "Sec-WebSocket-Extensions" not in client.response.headers


@pytest.mark.parametrize("deflate", [False, True])
async def test_ready_frames_and_sent_ones_arrive_in_order_and_whole(deflate):
    texts = ["", "é", "x" * 125, "y" * 126, "z" * 65_535, "w" * 65_536, "last"]

    async def work(write_ready, send):
        for number, text in enumerate(texts):
            if number % 2 or not write_ready(Outgoing.of(text).ready):
                await send({"type": "websocket.send", "text": text})

    options = server_options() | {"ws_per_message_deflate": deflate}
    async with serving(sender(work, []), **options) as address, websockets.connect(address, max_size=None) as client:
        await client.send("begin")
        assert [await asyncio.wait_for(client.recv(), 5) for _ in texts] == texts


async def test_nothing_is_written_while_the_client_reads_slowly_and_memory_is_bounded():
    wrote = []

    async def work(write_ready, send):
        ready = Outgoing.of("x" * 10_000).ready
        written = 0
        while write_ready(ready):
            written += 1
            assert written < 10_000
        await asyncio.wait_for(send({"type": "websocket.send", "text": "end"}), 10)
        return written

    async with serving(sender(work, wrote), **server_options()) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x80\x00\x00\x00\x00")
        await asyncio.sleep(0.5)
        assert wrote == []
        content = b""
        while not content.endswith(b"\x81\x03end"):
            content += await asyncio.wait_for(reader.read(2**20), 5)
        while not wrote:
            await asyncio.sleep(0.01)
        assert content.count(b"x" * 10_000) == wrote[0] > 0
        writer.close()


async def test_nothing_is_written_after_a_close_from_either_side():
    wrote = []

    async def close_first(write_ready, send):
        await send({"type": "websocket.close", "code": 4408})
        return write_ready(Outgoing.of("late").ready)

    async with serving(sender(close_first, wrote), **server_options()) as address:
        async with websockets.connect(address) as client:
            await client.send("begin")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 5)
        assert closed.value.rcvd.code == 4408
        assert wrote == [False]

    async def wait_for_the_client(write_ready, _send):
        while write_ready(Outgoing.of("").ready):
            await asyncio.sleep(0.01)
        return False

    async with serving(sender(wait_for_the_client, wrote), **server_options()) as address:
        async with websockets.connect(address) as client:
            await client.send("begin")
        for _ in range(200):
            if len(wrote) == 2:
                break
            await asyncio.sleep(0.01)
        assert wrote == [False, False]
