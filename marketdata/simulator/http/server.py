"""The simulated exchange, served on a loopback port in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from aiohttp import web

from marketdata import clock
from marketdata.errors import MarketDataError
from marketdata.simulator.faults import Fault, FaultPlan
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.limits import Limits, WeightMeter
from marketdata.simulator.http.playback import Playback
from marketdata.simulator.http.rest import RestApi
from marketdata.simulator.http.streams import StreamHub
from marketdata.simulator.klines import Source
from marketdata.simulator.ledger import Ledger
from marketdata.simulator.market_clock import MarketClock
from marketdata.simulator.venue import Venue

MAX_URL_LENGTH = 65_536  # one URL may name 1,024 streams
log = structlog.get_logger(__name__)


class CannotListen(MarketDataError):
    """The address is not a loopback address, or its port is in use."""


class SimulatedExchange:
    """A Binance-compatible exchange on loopback.

    Parameters
    ----------
    symbols : iterable of str
        Symbols to generate; ignored if a `source` is given.
    source : Source, optional
        Source of candles, for example a :class:`~marketdata.simulator.recorded.replay.Replay`; by default they are generated.
    seed : int
        Seed of generated candles and random faults.
    speed : float
        Market seconds per second; with 0 time moves only by :meth:`advance`.
    begin_at : int, optional
        Market time at the start, ms UTC; by default where the live part of the source begins, else now.
    faults : FaultPlan or iterable of Fault
        Simulated faults; `exchange.faults` can be changed while it runs.
    ledger_path : Path, optional
        A file to which every close is appended.
    host, port : str, int
        A loopback address; port 0 selects a free one.
    limits : Limits
        The exchange's limits.

    Raises
    ------
    CannotListen
        If `host` is not a loopback address.
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("BTCUSDT", "ETHUSDT"),
        *,
        source: Source | None = None,
        seed: int = 0,
        speed: float = 1.0,
        begin_at: int | None = None,
        faults: FaultPlan | Iterable[Fault] = (),
        ledger_path: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.host = _loopback(host)
        self.port = port
        self.source: Source = source or CandleGenerator(tuple(symbols), seed)
        self.limits = limits or Limits()
        self.faults = faults if isinstance(faults, FaultPlan) else FaultPlan(faults, seed)
        self.faults.on_change = self._signal_change
        self.ledger = Ledger(ledger_path)
        self.meter = WeightMeter(self.limits)
        self.speed = speed
        self._begin_at = begin_at
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def base_url(self) -> str:
        """Value of BINANCE_API_URL."""
        return f"http://{self._address}:{self.port}"

    @property
    def stream_url(self) -> str:
        """Value of BINANCE_STREAM_URL."""
        return f"ws://{self._address}:{self.port}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Traded symbols."""
        return self.source.symbols

    def now_ms(self) -> int:
        """Market time."""
        return self.clock.now_ms()

    @property
    def has_ended(self) -> bool:
        """Whether the last candle has closed."""
        return self.playback.has_ended

    def start(self) -> Self:
        """Start listening; returns once requests can be served."""
        begin_at = self._begin_at
        if begin_at is None:
            begin_at = getattr(self.source, "begin_ms", None) or clock.wall_ms()
        self.clock = MarketClock(begin_at, self.speed)
        self.venue = Venue(self.source, self.clock, self.faults, self.ledger)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready.set,), daemon=True, name="simulated-exchange")
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            raise CannotListen(f"cannot listen on {self.host}:{self.port}: {self._failure}") from self._failure
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; a second call does nothing."""
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=10)
        self._thread = None
        self.ledger.close()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join(seconds)

    def advance(self, candles: int = 1) -> int:
        """Close the next candles now and send their frames; return the market time afterwards."""
        for _ in range(candles):
            self.clock.advance_to(self.venue.next_close_ms)
            self._in_loop(self._step())
        return self.clock.now_ms()

    def advance_to(self, market_ms: int) -> None:
        """Jump to a market time, closing everything until then."""
        self.clock.advance_to(market_ms)
        self._in_loop(self._step())

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    @property
    def _address(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def _signal_change(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.hub.changed.set)

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            raise RuntimeError("the exchange is not running")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _step(self) -> None:
        await self.playback.step()
        await self.hub.drained()

    def _run(self, ready: Callable[[], None]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except OSError as error:
            self._failure = error
        finally:
            ready()

    async def _serve(self, ready: Callable[[], None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.hub = StreamHub(self.limits)
        self.rest = RestApi(self.venue, self.meter)
        application = web.Application()
        application.add_routes([*self.rest.routes(), *self.hub.routes()])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5, max_line_size=MAX_URL_LENGTH)
        await runner.setup()
        sites: list[web.TCPSite] = []

        async def listen(is_open: bool) -> None:
            if not is_open:
                await sites.pop().stop()
                return
            sites.append(web.TCPSite(runner, self.host, self.port, reuse_address=True))
            await sites[-1].start()
            self.port = self.port or runner.addresses[0][1]

        try:
            await listen(True)
            self.playback = Playback(self.venue, self.hub, listen)
            playing = asyncio.create_task(self.playback.run())
            ready()
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                log.error("the simulated exchange broke down", exc_info=playing.exception())
            playing.cancel()
            await self.hub.close()
        finally:
            await runner.cleanup()


def _loopback(host: str) -> str:
    """The given address; refused unless it is a loopback address."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise CannotListen(f"{host} is not a loopback address: simulated prices must not be offered to other machines")
    return address
