"""Synchronous REST access to the exchange, with request budget, bans and clock readings."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

from marketdata import clock
from marketdata.errors import ExchangeBanned, ExchangeUnavailable, MalformedCandle, MarketDataError, UnreadableAnswer
from marketdata.exchange import rate_limit
from marketdata.exchange.client import INFO_WEIGHT, KLINES_WEIGHT, TIME_WEIGHT, ExchangeClient, Page, is_loopback
from marketdata.exchange.parsing import EARLIEST_MS, PAGE, CandleRow
from marketdata.intervals import INTERVAL_MS, Gap, count_between, floor_open

MAX_CONCURRENT = 8
BATCH = 100
TRIES = 2
MAX_FAILURES = 3
"""Consecutive failed requests after which the rest of a batch is not sent."""
READING_AGE_MS = 300_000
FAST_READING_AGE_MS = 5_000
PAUSE_SECONDS = 0.4
RETRY_SECONDS = 0.2
Result = TypeVar("Result")
Runner = asyncio.Runner
"""Runs the event loop of a session; a simulation replaces it."""


class PageRequest(NamedTuple):
    """Request for candles of one symbol opening in ``[from_ms, until_ms)``, at most one page."""

    symbol: str
    from_ms: int
    until_ms: int


class PageResult(NamedTuple):
    """Result of a page request: candles and bad rows with reasons, or an error.

    `unreadable` are invalid responses with reasons. `later` is the open of the exchange's first candle after the
    requested span: one candle more than requested is always fetched, because a response without a later candle allows
    no conclusion about a hole. `off_grid` and `cut_short` are as in `Page`.
    """

    request: PageRequest
    rows: list[CandleRow]
    rejected: list[tuple[object, str]]
    error: MarketDataError | None = None
    unreadable: Sequence[tuple[object, str]] = ()
    later: int | None = None
    off_grid: Sequence[tuple[object, int]] = ()
    cut_short: Mapping[int, int] = MappingProxyType({})


def pages_of(symbol: str, gaps: Iterable[Gap]) -> list[PageRequest]:
    """Split gaps into page requests, oldest first."""
    step = PAGE * INTERVAL_MS
    return [PageRequest(symbol, at, min(at + step, gap.end)) for gap in gaps for at in range(gap.start, gap.end, step)]


class RestSession:
    """A session of REST requests to the exchange; a `patient` one waits for request budget.

    Before every request the state shared by all processes is checked: a ban received by any of them stops every
    session before its next request.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._client = ExchangeClient()
        self._patient = patient
        self._runner: Runner | None = None
        self._server_ms = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._runner is not None:
            self._runner.run(self._client.close())
            self._runner.close()

    def market_ms(self) -> int:
        """Exchange time; read again if the shared reading is old, of another exchange, or missing."""
        known = clock.current_reading()
        if known is None or not is_fresh(known, self._client.api_url):
            self.read_clock()
        return clock.market_ms()

    def read_clock(self) -> clock.Reading:
        """Read the exchange's clock and share the reading; a simulator's rate is measured as well."""
        known, reading = clock.current_reading(), self._most_precise_reading()
        if is_loopback(self._client.api_url):
            if known is None or not _agrees(known, reading):
                self._run(asyncio.sleep(PAUSE_SECONDS))
                known, reading = reading, self._most_precise_reading()
            reading = replace(reading, rate=clock.measured_rate(known, reading))
        clock.record_reading(reading)
        return reading

    def describe(self, symbols: Sequence[str]) -> dict[str, str]:
        """Trading status of each symbol; the weight limit per minute is shared."""
        info = self._request(INFO_WEIGHT, lambda: self._client.exchange_info(symbols))
        if info["weight_limit"]:
            rate_limit.set_limit(info["weight_limit"])
        statuses: dict[str, str] = info["statuses"]
        return statuses

    def first_open(self, symbol: str) -> int | None:
        """Open of the exchange's oldest candle of a symbol; None without any."""
        end = floor_open(self._request(TIME_WEIGHT, self._client.server_time))
        page = self._request(KLINES_WEIGHT, lambda: self._client.klines(symbol, EARLIEST_MS, end, 1))
        return page.rows[0].open_time if page.rows else None

    def last_open(self, symbol: str) -> int | None:
        """Open of the exchange's newest closed candle of a symbol; None without any."""
        end = floor_open(self._request(TIME_WEIGHT, self._client.server_time))
        page = self._request(KLINES_WEIGHT, lambda: self._client.newest_kline(symbol, end))
        return page.rows[-1].open_time if page.rows else None

    def fetch(self, requests: Sequence[PageRequest], cancelled: Callable[[], bool] = lambda: False) -> list[PageResult]:
        """Fetch pages, some concurrently; an error belongs only to its own request."""
        results: list[PageResult] = []
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            try:
                self._reserve_weight(KLINES_WEIGHT * len(batch), cancelled)
            except ExchangeUnavailable as error:
                results += [PageResult(request, [], [], error) for request in requests[start:]]
                break
            results += self._fetch_closed(batch)
            rate_limit.observe(self._client.used_weight)
        return results

    def _reserve_weight(self, cost: int, cancelled: Callable[[], bool] = lambda: False) -> None:
        while wait := rate_limit.reserve(cost):
            if not self._patient or cancelled():
                raise ExchangeUnavailable("this minute's share of the exchange's request weight is used up")
            clock.sleep(min(wait + 0.05, 1.0))

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._runner is None:
            self._runner = Runner()
        return self._runner.run(work)

    def _request(self, cost: int, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Send one request after reserving its weight; a ban is shared with all processes."""
        self._reserve_weight(cost)
        try:
            return self._run(work())
        except ExchangeBanned as error:
            rate_limit.ban(error.until_ms)
            raise

    def _most_precise_reading(self) -> clock.Reading:
        """The reading with the shortest round trip, of three on loopback, else of one."""
        readings = []
        for _ in range(3 if is_loopback(self._client.api_url) else 1):
            before = clock.monotonic()
            reading = self._request(TIME_WEIGHT, self._client.reading)
            readings.append((clock.monotonic() - before, reading))
        return min(readings, key=lambda pair: pair[0])[1]

    def _fetch_closed(self, requests: Sequence[PageRequest]) -> list[PageResult]:
        """Fetch only candles that have closed by the exchange's clock, read just before."""
        try:
            if max(request.until_ms for request in requests) > floor_open(self._server_ms):
                self._server_ms = self._request(TIME_WEIGHT, self._client.server_time)
        except ExchangeUnavailable as error:
            return [PageResult(request, [], [], error) for request in requests]
        closed = floor_open(self._server_ms)
        clipped = [request._replace(until_ms=min(request.until_ms, closed)) for request in requests]
        fetched = iter(self._fetch([request for request in clipped if request.from_ms < request.until_ms]))
        return [
            next(fetched)
            if request.from_ms < request.until_ms
            else PageResult(request._replace(until_ms=request.from_ms), [], [])
            for request in clipped
        ]

    def _fetch(self, requests: Sequence[PageRequest]) -> list[PageResult]:
        """Fetch pages with limited concurrency, checking for a ban before each is sent."""
        waiting = deque((number, 1) for number in range(len(requests)))
        in_flight: dict[asyncio.Task[PageResult], tuple[int, int]] = {}
        results: dict[int, PageResult] = {}
        unreadable: dict[int, list[tuple[object, str]]] = {}
        n_failures = 0
        end: ExchangeUnavailable | None = None
        while waiting or in_flight:
            if waiting and (end := end or rate_limit.active_ban()) is None:
                sent = [waiting.popleft() for _ in range(min(MAX_CONCURRENT - len(in_flight), len(waiting)))]
                in_flight.update(self._run(self._send([(requests[number], number, tries) for number, tries in sent])))
            elif waiting:
                results.update({number: PageResult(requests[number], [], [], end) for number, _ in waiting})
                waiting.clear()
                continue
            for task in self._run(_first(in_flight)):
                number, tries = in_flight.pop(task)
                result = results[number] = task.result()
                if isinstance(result.error, ExchangeBanned):
                    end = result.error
                    rate_limit.ban(end.until_ms)
                elif isinstance(result.error, ExchangeUnavailable):
                    n_failures += 1
                    if isinstance(result.error, UnreadableAnswer):
                        unreadable.setdefault(number, []).append((result.error.raw, str(result.error)))
                    end = end or (result.error if n_failures >= MAX_FAILURES else None)
                    if tries < TRIES:
                        waiting.append((number, tries + 1))
                else:
                    n_failures = 0
        return [results[number]._replace(unreadable=unreadable.get(number, [])) for number in range(len(requests))]

    async def _send(
        self, requests: Sequence[tuple[PageRequest, int, int]]
    ) -> dict[asyncio.Task[PageResult], tuple[int, int]]:
        return {asyncio.create_task(self._page(request, tries)): (number, tries) for request, number, tries in requests}

    async def _page(self, request: PageRequest, tries: int) -> PageResult:
        """Fetch one page; after a failure wait before its slot is reused."""
        try:
            one_more = min(count_between(request.from_ms, request.until_ms) + 1, PAGE)
            page = await self._whole_page(request, one_more)
        except ExchangeBanned as failure:
            return PageResult(request, [], [], failure)
        except ExchangeUnavailable as failure:
            await asyncio.sleep(RETRY_SECONDS * tries)
            return PageResult(request, [], [], failure)
        except MalformedCandle as failure:
            return PageResult(request, [], [(failure.raw, str(failure))], failure)
        except MarketDataError as failure:
            return PageResult(request, [], [], failure)
        within = [row for row in page.rows if row.open_time < request.until_ms]
        off_grid = [(raw, at) for raw, at in page.off_grid if at < request.until_ms]
        after = [row.open_time for row in page.rows[len(within) :]] + [at for _, at in page.off_grid[len(off_grid) :]]
        cut_short = {at: last for at, last in page.cut_short.items() if at < request.until_ms}
        later = min(after, default=None)
        return PageResult(request, within, page.rejected, later=later, off_grid=off_grid, cut_short=cut_short)

    async def _whole_page(self, request: PageRequest, limit: int) -> Page:
        """Fetch one page, and the next one if off-grid rows took the place of others."""
        end = floor_open(self._server_ms)
        page = await self._client.klines(request.symbol, request.from_ms, end, limit)
        last = max([row.open_time for row in page.rows] + [at for _, at in page.off_grid], default=end)
        if not (page.off_grid and page.is_full and last < request.until_ms):
            return page
        more = await self._client.klines(request.symbol, last + 1, end, limit)
        return Page(
            page.rows + more.rows,
            page.rejected + more.rejected,
            page.off_grid + more.off_grid,
            {**page.cut_short, **more.cut_short},
            more.is_full,
        )


async def _first(in_flight: Iterable[asyncio.Task[PageResult]]) -> list[asyncio.Task[PageResult]]:
    """Completed tasks, at least one, in the order they were sent."""
    await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
    return [task for task in in_flight if task.done()]


def is_fresh(reading: clock.Reading, api_url: str) -> bool:
    """Whether a reading is of this exchange and recent enough for its rate."""
    longest = {1.0: READING_AGE_MS, 0.0: -1}.get(reading.rate, FAST_READING_AGE_MS)
    return reading.base_url == api_url[:200] and 0 <= clock.wall_ms() - reading.wall_ms <= longest


def _agrees(known: clock.Reading, newest: clock.Reading) -> bool:
    """Whether a later reading of the same exchange agrees with the last one's extrapolation."""
    elapsed = newest.wall_ms - known.wall_ms
    difference = abs(newest.market_ms - known.at(newest.wall_ms))
    is_same = known.base_url == newest.base_url[:200]
    return is_same and elapsed > PAUSE_SECONDS * 1000 and difference <= 0.05 * elapsed * known.rate + 100
