"""Definition and selection of simulated faults; other modules apply them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from indicators.errors import MLEngineError
from marketdata.simulator.generator.keyed_random import uniform

REQUEST_FAULTS = {
    "rate_limited": "429 with Retry-After `seconds`",
    "banned": "418 with Retry-After `seconds`",
    "forbidden": "403 and a page of HTML, as from a firewall",
    "server_error": "`status` (500) with the exchange's error body",
    "html": "200 and a page of HTML",
    "truncated": "body and connection end in the middle",
    "slow": "the body begins after `seconds`",
    "dripping": "the body comes in ten pieces over `seconds`",
    "wrong_page": "the candles of another time than requested",
    "unsorted": "the page newest first",
    "repeated": "every row of the page twice",
    "symbol_error": "-1121 for a symbol that exists",
    "refused": "the connection is cut before an answer",
    "microseconds": "times in microseconds",
    "open_candle": "the page ends with the open candle, even if it was not requested",
}
CANDLE_FAULTS = {
    "hole": "the candle never exists",
    "halted": "trading is stopped: exchangeInfo has status BREAK, and the candle never exists",
    "late_hole": "the candle is missing until `seconds` of market time after its close",
    "cut_short": "trading stops within the candle: it closes `seconds` of market time after its open",
    "off_grid": "the candle opens `seconds` of market time after its place on the 5-minute grid, as after a halt",
    "broken_row": "the candle's row has a high below its low",
    "correction": "the candle changes `seconds` of market time after its close",
}
STREAM_FAULTS = {
    "unsent": "the closing message is never sent",
    "late_close": "the closing message is sent `seconds` of market time late",
    "duplicate": "the closing message is sent twice",
    "repeats": "the closing message is sent `count` more times",
    "reorder": "an open message of the same candle follows the closing one",
    "garbled": "a message that is not JSON is sent before the closing one",
    "burst": "`count` open messages are sent before the closing one",
    "cut": "all sockets are cut, without a close frame",
    "silence": "sockets stay open and nothing is sent on them",
    "shutdown": "serverShutdown is announced, and sockets are closed `seconds` of wall time later",
    "refused_stream": "new sockets are answered with 503",
    "offline": "the port is closed: sockets are cut and connections refused",
}
ONCE = {"cut", "shutdown"}  # events, not states: without `times` they apply once
ENDED = 2**62  # a count no fault reaches
KINDS = REQUEST_FAULTS | CANDLE_FAULTS | STREAM_FAULTS


class UnknownFault(MLEngineError):
    """A fault plan contains an unsupported or invalid fault."""


@dataclass(frozen=True)
class Fault:
    """One fault: its kind, when and for whom it applies, and its parameters.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    at, until : int, optional
        Market time from (inclusive) and to (exclusive) which it applies, ms; for candle faults and faults of closing
        messages the candle's open time must lie in between. Without them it always applies.
    symbol : str, optional
        Only this symbol; all by default.
    probability : float
        Probability on each occasion.
    times : int, optional
        Maximum number of times; candle faults ignore it, being a property of the candle.
    seconds : float
        The duration in the description of the kind.
    status : int
        HTTP status of `server_error`.
    count : int
        Messages of a `burst` or of `repeats`; it may exceed the queue of a reader.
    path : str
        Only requests whose path contains this.

    Raises
    ------
    UnknownFault
        If there is no such kind, or the probability is not one.

    Examples
    --------
    >>> Fault("hole", at=0, until=300_000).covers(0, "BTCUSDT")
    True
    """

    kind: str
    at: int | None = None
    until: int | None = None
    symbol: str | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float = 5.0
    status: int = 500
    count: int = 2_000
    path: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownFault(f"there is no fault {self.kind!r}; known are {', '.join(KINDS)}")
        if not 0 <= self.probability <= 1:
            raise UnknownFault(f"{self.kind}: a probability lies between 0 and 1, got {self.probability}")

    def covers(self, market_ms: int, symbol: str | None) -> bool:
        """Whether it can apply to this symbol at this market time."""
        return (
            (self.at is None or market_ms >= self.at)
            and (self.until is None or market_ms < self.until)
            and (self.symbol is None or symbol is None or self.symbol == symbol)
        )


class FaultPlan:
    """The active faults, selected with seeded randomness.

    Parameters
    ----------
    faults : iterable of Fault
        In order of precedence.
    seed : int
        The same plan with the same seed affects the same candles, and the same occasions in their order.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.seed = seed
        self._faults: list[Fault] = list(faults)
        self._counts: dict[int, int] = {}
        self._occasions = 0
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: Path, seed: int = 0) -> FaultPlan:
        """Read a JSON list of objects with the fields of :class:`Fault`."""
        known = {field.name for field in fields(Fault)}
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UnknownFault(f"{path} is not JSON: {error}") from error
        if not isinstance(written, list) or not all(isinstance(one, dict) and set(one) <= known for one in written):
            raise UnknownFault(f"{path} must hold a list of objects with the fields {', '.join(sorted(known))}")
        return cls((Fault(**one) for one in written), seed)

    def to_json(self) -> str:
        """JSON that :meth:`from_file` can read."""
        with self._lock:
            return json.dumps([asdict(fault) for fault in self._faults])

    def add(self, *faults: Fault) -> None:
        """Activate more faults immediately."""
        with self._lock:
            self._faults.extend(faults)
        self.on_change()

    def remove(self, kind: str) -> None:
        """End all faults of a kind."""
        with self._lock:
            # Counters are stored by position, so ended faults stay in the list.
            self._counts.update({i: ENDED for i, fault in enumerate(self._faults) if fault.kind == kind})
        self.on_change()

    def clear(self) -> None:
        """End all faults."""
        for kind in KINDS:
            self.remove(kind)

    def trigger(self, kinds: Iterable[str], market_ms: int, symbol: str | None = None, path: str = "") -> Fault | None:
        """The first fault of these kinds that applies on this occasion; it is counted."""
        with self._lock:
            for position, fault in enumerate(self._faults):
                if fault.kind not in kinds or not fault.covers(market_ms, symbol) or fault.path not in path:
                    continue
                count = self._counts.get(position, 0)
                usual = 1 if fault.kind in ONCE else ENDED
                if count >= (usual if fault.times is None else fault.times):
                    continue
                self._occasions += 1
                if fault.probability < 1 and uniform(self.seed, position, self._occasions) >= fault.probability:
                    continue
                self._counts[position] = count + 1
                return fault
        return None

    def next_moment(self, market_ms: int) -> int | None:
        """The next market time after `market_ms` at which a fault begins or ends."""
        with self._lock:
            moments = (moment for fault in self._faults for moment in (fault.at, fault.until))
            return min((moment for moment in moments if moment is not None and moment > market_ms), default=None)

    def of_candle(self, kind: str, symbol: str, open_time: int) -> Fault | None:
        """The fault of a kind that this candle has, the same at every call."""
        with self._lock:
            for position, fault in enumerate(self._faults):
                if fault.kind != kind or self._counts.get(position) == ENDED or not fault.covers(open_time, symbol):
                    continue
                if uniform(self.seed, position, symbol, open_time) < fault.probability:
                    return fault
        return None

    def affects_candles(self) -> bool:
        """Whether any candle may differ from its source."""
        with self._lock:
            return any(fault.kind in CANDLE_FAULTS for fault in self._faults)
