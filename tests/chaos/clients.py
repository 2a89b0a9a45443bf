"""Websocket clients that resume, and REST clients, for an engine whose parts are killed."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from itertools import pairwise

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

PAUSE_SECONDS = 0.2
ACCEPTED = {200, 429, 503}
"""Statuses that may occur while parts are down; all others are faults. 0 is no connection."""


class ResumingClient(threading.Thread):
    """A websocket client that resumes after the last `seq` of each symbol when disconnected."""

    def __init__(self, port: int, key: str, symbols: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.address, self.key = f"ws://127.0.0.1:{port}/ws/signals", key
        self.received: dict[str, list[int]] = {symbol: [] for symbol in symbols}
        self.ids: dict[str, list[str]] = {symbol: [] for symbol in symbols}
        self.faults: list[str] = []
        self.connections = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._follow()
            except (OSError, WebSocketException, TimeoutError):
                self.stopping.wait(PAUSE_SECONDS)

    def _follow(self) -> None:
        with connect(self.address, additional_headers={"X-API-Key": self.key}, open_timeout=5) as connection:
            after = {symbol: seqs[-1] if seqs else 0 for symbol, seqs in self.received.items()}
            connection.send(json.dumps({"type": "subscribe", "symbols": list(after), "after": after}))
            self.connections += 1
            while not self.stopping.is_set():
                try:
                    message = json.loads(connection.recv(timeout=1.0))
                except TimeoutError:
                    continue
                if message["type"] == "signal":
                    self.received[message["symbol"]].append(message["seq"])
                    self.ids[message["symbol"]].append(message["signal"]["id"])
                elif message["type"] == "error" and message["error"] != "ServiceUnavailable":
                    self.faults.append(f"{message['error']}: {message['message']}")


class RestClient(threading.Thread):
    """A REST client that reads the signal log by pages, and candles and health between."""

    def __init__(self, port: int, key: str, symbols: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.base, self.key, self.symbols = f"http://127.0.0.1:{port}", key, symbols
        self.received: dict[str, list[int]] = {symbol: [] for symbol in symbols}
        self.statuses: Counter[int] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            for symbol in self.symbols:
                seqs = self.received[symbol]
                answer = self._get(f"/signals?symbol={symbol}&after={seqs[-1] if seqs else 0}&limit=100")
                seqs += [row["seq"] for row in (answer or {}).get("results", ())]
                self._get(f"/candles?symbol={symbol}&limit=5")
                self._get("/health/ready")
            self.stopping.wait(0.1)

    def _get(self, path: str) -> dict | None:
        request = urllib.request.Request(self.base + path, headers={"X-API-Key": self.key})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = json.load(answer)
                self.statuses[answer.status] += 1
                return body
        except urllib.error.HTTPError as error:
            self.statuses[error.code] += 1
        except (OSError, ValueError, urllib.error.URLError):
            self.statuses[0] += 1
            time.sleep(PAUSE_SECONDS)
        return None


def gaps(received: dict[str, list[int]], heads: dict[str, int]) -> dict[str, int]:
    """Numbers of lost, doubled and out-of-order signals compared with 1, 2, 3 ... head."""
    lost = doubled = out_of_order = 0
    for symbol, seqs in received.items():
        lost += len(set(range(1, heads[symbol] + 1)) - set(seqs))
        doubled += len(seqs) - len(set(seqs))
        out_of_order += sum(later < earlier for earlier, later in pairwise(seqs))
    return {"lost": lost, "doubled": doubled, "out_of_order": out_of_order}
