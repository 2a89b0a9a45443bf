"""A headless Chromium over its DevTools protocol: opens pages and collects their errors."""

import asyncio
import json
import shutil
import subprocess
from urllib.parse import urlsplit

import websockets

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-dev-shm-usage", "--window-size=1440,900", "--remote-debugging-port=0")  # fmt: skip
TIMEOUT_SECONDS = 30
TEXT_FRAME = 1
"""Opcode of a websocket."""


def installed():
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab, with its log messages, what it asked of which hosts, and the evaluation of expressions."""

    def __init__(self, socket):
        self.socket, self.number = socket, 0
        self.errors, self.hosts, self.websockets, self.frames = [], set(), [], []

    async def call(self, method, **parameters):
        """Send one command and return its result; messages of the page are collected."""
        self.number += 1
        command_id = self.number
        await self.socket.send(json.dumps({"id": command_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.recv(), TIMEOUT_SECONDS))
            if message.get("id") == command_id:
                assert "error" not in message, message
                return message["result"]
            self._record_event(message)

    async def value(self, expression):
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression, seconds=TIMEOUT_SECONDS):
        """Wait for an expression to be true."""
        for _ in range(seconds * 5):
            if await self.value(expression):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"never true: {expression}; errors {self.errors}")

    async def open(self, address):
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete'")

    def _record_event(self, message):
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            asked = urlsplit(parameters["request"]["url"])
            if asked.scheme in {"http", "https", "ws", "wss"}:
                self.hosts.add(asked.netloc)
        elif message.get("method") == "Network.webSocketCreated":
            self.websockets.append(parameters["url"])
            self.hosts.add(urlsplit(parameters["url"]).netloc)
        elif message.get("method") == "Network.webSocketFrameReceived":
            if parameters["response"]["opcode"] == TEXT_FRAME:
                self.frames.append(json.loads(parameters["response"]["payloadData"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(parameters["exceptionDetails"]["text"])
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif message.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning"}:
            self.errors.append(str([word.get("value") for word in parameters["args"]]))


class Browser:
    """`async with Browser(folder) as page`."""

    def __init__(self, folder):
        self.folder = folder

    async def __aenter__(self):
        self.process = subprocess.Popen(
            [installed(), *FLAGS, f"--user-data-dir={self.folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = (await self._written(self.folder / "DevToolsActivePort")).split()[0]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            target = await asyncio.to_thread(self._first_tab, port)
        self.socket = await websockets.connect(target, max_size=None)
        page = Page(self.socket)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        return page

    async def __aexit__(self, *_):
        await self.socket.close()
        self.process.terminate()
        self.process.wait(10)

    async def _written(self, path):
        for _ in range(TIMEOUT_SECONDS * 10):
            if path.exists() and path.read_text():
                return path.read_text()
            await asyncio.sleep(0.1)
        raise AssertionError("Chromium did not start")

    @staticmethod
    def _first_tab(port):
        from urllib.request import urlopen

        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
