"""The exchange over REST for callers without an event loop: budget, bans and clock kept for them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from marketdata import clock, weight
from marketdata.errors import ExchangeBanned, ExchangeUnavailable, MalformedCandle, MarketDataError
from marketdata.exchange import KLINES_WEIGHT, PAGE, TIME_WEIGHT, ExchangeClient, is_loopback
from marketdata.intervals import INTERVAL_MS, Gap, floor_open
from marketdata.parsing import CandleRow

AT_ONCE = 8
BATCH = 100
TRIES = 2
HOPELESS = 3
"""After so many requests without an answer the rest of a batch is not sent."""
READING_AGE_MS = 300_000
FAST_READING_AGE_MS = 5_000
PAUSE_SECONDS = 0.4
Result = TypeVar("Result")
Runner = asyncio.Runner
"""What turns the event loop of a line; a simulation turns its own."""


class Ask(NamedTuple):
    """Candles of one symbol opening in ``[from_ms, until_ms)``, at most one page."""

    symbol: str
    from_ms: int
    until_ms: int


class Answer(NamedTuple):
    """What came of an ask: candles, bad rows with reasons, or an error."""

    ask: Ask
    rows: list[CandleRow]
    rejected: list[tuple[object, str]]
    error: MarketDataError | None = None


def pages_of(symbol: str, gaps: Iterable[Gap]) -> list[Ask]:
    """Cut gaps into pages, oldest first."""
    step = PAGE * INTERVAL_MS
    return [Ask(symbol, at, min(at + step, gap.end)) for gap in gaps for at in range(gap.start, gap.end, step)]


class RestLine:
    """A line to the exchange; `patient` ones wait for budget instead of giving up."""

    def __init__(self, client: ExchangeClient | None = None, *, patient: bool = False) -> None:
        self._client = client or ExchangeClient()
        self._patient = patient
        self._runner: Runner | None = None
        self._server_ms = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            self._runner.run(self._client.close())
            self._runner.close()

    def market_ms(self) -> int:
        """Exchange time; read anew if the shared reading is old, of another exchange, or missing."""
        known = clock.current_reading()
        if known is None or not is_fresh(known, self._client.api_url):
            self._pay(TIME_WEIGHT)
            try:
                clock.record_reading(self._run(take_reading(self._client, known)))
            except ExchangeBanned as error:
                weight.ban(error.until_ms)
                raise
        return clock.market_ms()

    def ask(self, asks: Sequence[Ask], cancelled: Callable[[], bool] = lambda: False) -> list[Answer]:
        """Fetch pages, some at once; an error belongs to its own ask and never to the others."""
        answers: list[Answer] = []
        for start in range(0, len(asks), BATCH):
            batch = asks[start : start + BATCH]
            try:
                self._pay(KLINES_WEIGHT * len(batch) + TIME_WEIGHT, cancelled)
            except ExchangeUnavailable as error:
                answers += [Answer(ask, [], [], error) for ask in asks[start:]]
                break
            answers += self._run(self._fetch_closed(batch))
            weight.observe(self._client.used_weight)
            for answer in answers[-len(batch) :]:
                if isinstance(answer.error, ExchangeBanned):
                    weight.ban(answer.error.until_ms)
        return answers

    def _pay(self, cost: int, cancelled: Callable[[], bool] = lambda: False) -> None:
        while wait := weight.reserve(cost):
            if not self._patient or cancelled():
                raise ExchangeUnavailable("this minute's share of the exchange's request weight is used up")
            clock.sleep(min(wait + 0.05, 1.0))

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._runner is None:
            self._runner = Runner()
        return self._runner.run(work)

    async def _fetch_closed(self, asks: Sequence[Ask]) -> list[Answer]:
        """Fetch nothing the exchange's own clock, read just before, does not call closed."""
        try:
            if max(ask.until_ms for ask in asks) > floor_open(self._server_ms):
                self._server_ms = await self._client.server_time()
        except ExchangeUnavailable as error:
            return [Answer(ask, [], [], error) for ask in asks]
        closed = floor_open(self._server_ms)
        clipped = [ask._replace(until_ms=min(ask.until_ms, closed)) for ask in asks]
        fetched = iter(await self._fetch([ask for ask in clipped if ask.from_ms < ask.until_ms]))
        return [
            next(fetched) if ask.from_ms < ask.until_ms else Answer(ask._replace(until_ms=ask.from_ms), [], [])
            for ask in clipped
        ]

    async def _fetch(self, asks: Sequence[Ask]) -> list[Answer]:
        gate = asyncio.Semaphore(AT_ONCE)
        unanswered: list[ExchangeUnavailable] = []
        bans: list[ExchangeBanned] = []

        async def fetch(ask: Ask) -> Answer:
            error: MarketDataError | None = None
            async with gate:
                for attempt in range(TRIES):
                    if bans or len(unanswered) >= HOPELESS:
                        return Answer(ask, [], [], (bans or unanswered)[-1])
                    try:
                        page = await self._client.klines(ask.symbol, ask.from_ms, ask.until_ms)
                    except ExchangeBanned as failure:
                        bans.append(failure)
                        return Answer(ask, [], [], failure)
                    except ExchangeUnavailable as failure:
                        unanswered.append(failure)
                        error = failure
                        await asyncio.sleep(0.2 * (attempt + 1))
                    except MalformedCandle as failure:
                        return Answer(ask, [], [(str(failure), str(failure))], failure)
                    except MarketDataError as failure:
                        return Answer(ask, [], [], failure)
                    else:
                        unanswered.clear()
                        return Answer(ask, page.rows, page.rejected)
            return Answer(ask, [], [], error)

        return list(await asyncio.gather(*(fetch(ask) for ask in asks)))


def is_fresh(reading: clock.Reading, api_url: str) -> bool:
    """Whether a reading is of this exchange and young enough for its rate."""
    longest = {1.0: READING_AGE_MS, 0.0: -1}.get(reading.rate, FAST_READING_AGE_MS)
    return reading.base_url == api_url[:200] and 0 <= clock.wall_ms() - reading.wall_ms <= longest


async def take_reading(client: ExchangeClient, known: clock.Reading | None) -> clock.Reading:
    """Read the exchange's clock; a simulated one may run fast, so its rate is measured as well."""
    newest = await _sharpest(client)
    if not is_loopback(client.api_url):
        return newest
    if known is not None and known.base_url == client.api_url[:200]:
        elapsed = newest.wall_ms - known.wall_ms
        surprise = abs(newest.market_ms - known.at(newest.wall_ms))
        if elapsed > PAUSE_SECONDS * 1000 and surprise <= 0.05 * elapsed * known.rate + 100:
            return replace(newest, rate=clock.measured_rate(known, newest))
    await asyncio.sleep(PAUSE_SECONDS)
    later = await _sharpest(client)
    return replace(later, rate=clock.measured_rate(newest, later))


async def _sharpest(client: ExchangeClient) -> clock.Reading:
    """The reading with the shortest round trip: of three on this machine, of one elsewhere."""
    readings = []
    for _ in range(3 if is_loopback(client.api_url) else 1):
        before = clock.monotonic()
        reading = await client.reading()
        readings.append((clock.monotonic() - before, reading))
    return min(readings, key=lambda pair: pair[0])[1]
