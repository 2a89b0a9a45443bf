"""Listening servers: the protocol class with a small application, and the engine as run by `up` and by the image."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest
import uvicorn

from mlengine_project.http.protocol import LimitedHttpProtocol
from tests.flows.processes import ROOT, Processes, answers, free_port, wait_until

KEY = "test-" + "k" * 40


async def mirror(scope, receive, send):
    """Echo the request: method, path, query, headers and body."""
    if scope["type"] != "http":
        await receive()
        await send({"type": "websocket.close"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    content = orjson.dumps(
        {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": body.decode("latin-1"),
        }
    )
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="session")
def serve():
    """Serve an application in a thread and return the port."""
    running = []

    def start(application):
        port = free_port()
        config = uvicorn.Config(
            application, port=port, http=LimitedHttpProtocol, ws="websockets-sansio", lifespan="off", log_config=None,
            access_log=False, proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
        thread.start()
        running.append((server, thread))
        wait_until(lambda: server.started, 10, "the server listens")
        return port

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def mirrored(serve):
    """The port of an echo server."""
    return serve(mirror)


class Engine:
    """A running engine: its port and its serving process."""

    def __init__(self, port, pid):
        self.port, self.pid = port, pid

    def peak_kib(self):
        """Peak memory of the process."""
        with Path(f"/proc/{self.pid}/status").open() as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    def written_bytes(self):
        """Bytes written by the process, to sockets and files."""
        with Path(f"/proc/{self.pid}/io").open() as counts:
            return next(int(line.split()[1]) for line in counts if line.startswith("wchar"))


def command_of_image():
    """The arguments of the Dockerfile's CMD."""
    text = (ROOT / "Dockerfile").read_text()
    return json.loads(text[text.rindex("CMD [") + 4 :].replace("\\\n", " "))


def words_of_image(port):
    """The same with one worker on a local port."""
    words = command_of_image()
    for option, value in {"--host": "127.0.0.1", "--port": str(port), "--workers": "1"}.items():
        words[words.index(option) + 1] = value
    return [sys.executable, "-m", *words]


@pytest.fixture(scope="session", params=["up", "image"])
def engine(request, tmp_path_factory):
    """The engine as started by `up` and by the image, with a key and without models."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    environment = {
        "DATABASE_URL": "", "REDIS_URL": "", "MLENGINE_STATE_DIR": str(folder), "MLENGINE_ENV_FILE": "",
        "MODEL_PATH": str(folder / "models"), "API_KEY": KEY, "RATE_LIMIT": "1000", "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": "a-secret-key-for-a-test-of-processes-only-0123456789",
    }  # fmt: skip
    if request.param == "image":
        environment["REDIS_URL"] = request.getfixturevalue("redis_url")
    processes = Processes(folder, environment)
    if request.param == "image":
        subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, env=processes.environment, check=True)
        started = processes.start("web", *words_of_image(port))
    else:
        words = ["manage.py", "up", "--no-train", "--feed", "simulator", "--port", str(port)]
        started = processes.start("up", sys.executable, *words)
    try:
        wait_until(lambda: answers(port), 90, "the engine answers")
        if request.param == "up":  # its other parts use memory too
            wait_until(lambda: "no models" in (folder / "up.log").read_text(), 90, "the engine is prepared")
        yield Engine(port, started.pid)
    finally:
        processes.stop()
