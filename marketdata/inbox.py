"""Between the sockets' thread and the thread that stores: closed candles, refusals and news of the line."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from marketdata import clock
from marketdata.parsing import CandleRow

MOST_CANDLES = 50_000
MOST_REFUSED = 20_000
Frames = dict[str, list[CandleRow]]
Refused = tuple[object, str]


@dataclass
class News:
    """What happened since the last look."""

    connected: bool = False
    overflowed: bool = False


class Inbox:
    """Bounded; a closed candle is never lost by it.

    Beyond `MOST_CANDLES` a candle is not kept but remembered as an overflow, which makes the reader
    fetch everything missing over REST.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed: dict[tuple[str, int], CandleRow] = {}
        self._news = News()
        self._refused: deque[Refused] = deque()
        self._unkept = 0
        self._stirred = False
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.heard_at: float | None = None

    def put_closed(self, symbol: str, row: CandleRow) -> None:
        """Take a closed candle; a repeat of one still waiting changes nothing."""
        with self._changed:
            now = clock.monotonic()
            if len(self._closed) >= MOST_CANDLES:
                self._news.overflowed = True
            elif (symbol, row.open_time) not in self._closed:
                self._closed[symbol, row.open_time] = row
                self.first_at = now if self.first_at is None else self.first_at
                self.last_at = now
            self._wake()

    def put_refused(self, raw: object, reason: str) -> None:
        """Take a message that was not believed; of a flood the rest is only counted."""
        with self._changed:
            if len(self._refused) >= MOST_REFUSED:
                self._unkept += 1
            else:
                self._refused.append((raw, reason))
                self._wake()

    def hear(self) -> None:
        """Note that a socket said something."""
        self.heard_at = clock.monotonic()

    def connect(self) -> None:
        """Note a new connection: what closed before it may be missing."""
        with self._changed:
            self._news.connected = True
            self._wake()

    def wait(self, seconds: float) -> None:
        """Sleep until something new came, at most that long."""
        with self._changed:
            if not self._stirred:
                self._changed.wait(max(0.0, seconds))
            self._stirred = False

    def wake(self) -> None:
        """End a wait from outside."""
        with self._changed:
            self._wake()

    def symbols_of_newest(self) -> set[str]:
        """Symbols whose newest waiting candle is the newest of all."""
        with self._changed:
            newest = max((open_time for _, open_time in self._closed), default=None)
            return {symbol for symbol, open_time in self._closed if open_time == newest}

    def take_closed(self) -> Frames:
        """Hand over all closed candles, oldest first by symbol."""
        with self._changed:
            frames: Frames = {}
            for (symbol, _), row in sorted(self._closed.items(), key=lambda item: item[0]):
                frames.setdefault(symbol, []).append(row)
            self._closed.clear()
            self.first_at = self.last_at = None
            return frames

    def give_back(self, frames: Mapping[str, list[CandleRow]]) -> None:
        """Take frames back that could not be stored."""
        for symbol, rows in frames.items():
            for row in rows:
                self.put_closed(symbol, row)

    def take_news(self) -> News:
        """Hand over what else happened."""
        with self._changed:
            news, self._news = self._news, News()
            return news

    def take_refused(self, most: int) -> list[Refused]:
        """Hand over the oldest messages that were not believed, and last of all how many were not kept."""
        with self._changed:
            taken = [self._refused.popleft() for _ in range(min(most, len(self._refused)))]
            if not taken and self._unkept:
                taken = [("", f"{self._unkept} messages more were refused than could be kept")]
                self._unkept = 0
            return taken

    def give_back_refused(self, refused: Iterable[Refused]) -> None:
        """Take messages back that could not be written down."""
        with self._changed:
            self._refused.extendleft(reversed(list(refused)))

    def _wake(self) -> None:
        self._stirred = True
        self._changed.notify_all()
