"""Queue between the websocket thread and the storing thread: candles, refusals and connection events."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from marketdata import clock
from marketdata.exchange.parsing import CandleRow

MAX_CANDLES = 50_000
MAX_REFUSED = 20_000
Frames = dict[str, list[CandleRow]]
Refused = tuple[object, str]


@dataclass
class FeedEvents:
    """Connection events since they were last taken."""

    connected: bool = False
    overflowed: bool = False


class Inbox:
    """A bounded, thread-safe queue of closed candles and refused messages.

    Beyond `MAX_CANDLES` a candle is dropped and an overflow recorded, which makes the reader fetch everything missing
    over REST.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed: dict[tuple[str, int], CandleRow] = {}
        self._events = FeedEvents()
        self._refused: deque[Refused] = deque()
        self._n_dropped = 0
        self._is_notified = False
        self.expected = 1
        """Candles of a whole round: the reader is not woken for each, only for the first and from so many on."""
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.last_message_at: float | None = None

    def put_closed(self, symbol: str, row: CandleRow) -> None:
        """Add a closed candle; a repeat of a waiting one changes nothing."""
        with self._changed:
            now = clock.monotonic()
            if len(self._closed) >= MAX_CANDLES:
                self._events.overflowed = True
            elif (symbol, row.open_time) not in self._closed:
                self._closed[symbol, row.open_time] = row
                self.first_at = now if self.first_at is None else self.first_at
                self.last_at = now
            if not 1 < len(self._closed) < self.expected:
                self._notify()

    def put_refused(self, raw: object, reason: str) -> None:
        """Add a refused message; beyond the limit messages are only counted."""
        with self._changed:
            if len(self._refused) >= MAX_REFUSED:
                self._n_dropped += 1
            else:
                self._refused.append((raw, reason))
                self._notify()

    def record_message(self) -> None:
        """Record the time of a message from a socket."""
        self.last_message_at = clock.monotonic()

    def connect(self) -> None:
        """Record a new connection: candles closed before it may be missing."""
        with self._changed:
            self._events.connected = True
            self._notify()

    def wait(self, seconds: float) -> None:
        """Wait until something new arrives, at most that long."""
        with self._changed:
            if not self._is_notified:
                self._changed.wait(max(0.0, seconds))
            self._is_notified = False

    def notify(self) -> None:
        """End a `wait` in another thread."""
        with self._changed:
            self._notify()

    def symbols_of_newest(self) -> set[str]:
        """Symbols whose newest waiting candle is the newest of all."""
        with self._changed:
            newest = max((open_time for _, open_time in self._closed), default=None)
            return {symbol for symbol, open_time in self._closed if open_time == newest}

    def take_closed(self) -> Frames:
        """Remove and return all closed candles, oldest first by symbol."""
        with self._changed:
            frames: Frames = {}
            for (symbol, _), row in sorted(self._closed.items(), key=lambda item: item[0]):
                frames.setdefault(symbol, []).append(row)
            self._closed.clear()
            self.first_at = self.last_at = None
            return frames

    def put_back(self, frames: Mapping[str, list[CandleRow]]) -> None:
        """Put frames back that could not be stored."""
        for symbol, rows in frames.items():
            for row in rows:
                self.put_closed(symbol, row)

    def take_events(self) -> FeedEvents:
        """Remove and return the connection events."""
        with self._changed:
            events, self._events = self._events, FeedEvents()
            return events

    def take_refused(self, most: int) -> list[Refused]:
        """Remove and return the oldest refused messages, and at the end the number dropped."""
        with self._changed:
            taken = [self._refused.popleft() for _ in range(min(most, len(self._refused)))]
            if not taken and self._n_dropped:
                taken = [("", f"{self._n_dropped} messages more were refused than could be kept")]
                self._n_dropped = 0
            return taken

    def put_back_refused(self, refused: Iterable[Refused]) -> None:
        """Put refused messages back that could not be stored."""
        with self._changed:
            self._refused.extendleft(reversed(list(refused)))

    def _notify(self) -> None:
        self._is_notified = True
        self._changed.notify_all()
