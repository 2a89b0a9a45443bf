"""Exchange client: candles over REST and closed candles from a websocket, with typed errors.

The library neither retries nor keeps state, so weights and bans are read here and stored by the caller; nothing in
this module accesses the database.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

from django.conf import settings

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.errors import (
    ExchangeBanned,
    ExchangeUnavailable,
    MalformedCandle,
    MarketDataError,
    UnknownSymbol,
    UnreadableAnswer,
)
from marketdata.exchange import hosts
from marketdata.exchange.binance import library
from marketdata.exchange.parsing import (
    EARLIEST_MS,
    LATEST_MS,
    PAGE,
    CandleRow,
    early_closes,
    off_grid_open,
    parse_kline_page,
)
from marketdata.intervals import INTERVAL
from marketdata.models import Source

KLINES_WEIGHT, TIME_WEIGHT, INFO_WEIGHT = 2, 1, 20
MAX_BAN_MS = 3 * DAY_MS
QUEUE_SIZE = 10_000
TIMEOUT_SECONDS = 10.0
_BANNED_UNTIL = re.compile(r"banned until ([0-9]{13})")
_UNKNOWN_SYMBOL = -1121
_TRANSIENT = frozenset({-1000, -1001, -1003, -1006, -1007, -1008, -1016})
"""Codes of transient faults of the exchange, whatever the HTTP status: the request itself was valid."""


class Page(NamedTuple):
    """Result of one request for candles: good rows, oldest first, and bad ones with reasons.

    `off_grid` are complete rows that are not on the grid, with their opens; `cut_short` are the closes, by open, of
    good rows that closed early; `is_full` means that there may be more.
    """

    rows: list[CandleRow]
    rejected: list[tuple[object, str]]
    off_grid: list[tuple[object, int]]
    cut_short: dict[int, int]
    is_full: bool


def is_loopback(url: str) -> bool:
    """Whether a URL points at this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def source_of_settings() -> Source:
    """Source of the configured exchange: one on loopback is a simulator."""
    return Source.SIMULATED if is_loopback(settings.BINANCE_API_URL) else Source.EXCHANGE


class ExchangeClient:
    """One exchange over REST and websockets, for use inside one event loop."""

    def __init__(self, api_url: str = "") -> None:
        self.api_url = (api_url or settings.BINANCE_API_URL).rstrip("/")
        self.stream_url = settings.BINANCE_STREAM_URL.rstrip("/") + "/"
        self.used_weight: int | None = None
        self.stream_host = ""
        """Host of the newest stream."""
        self._clients: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        while self._clients:
            await self._clients.popitem()[1].close_connection()

    async def server_time(self) -> int:
        """Exchange time, milliseconds."""
        answer = await self._call("get_server_time")
        instant = answer.get("serverTime") if isinstance(answer, dict) else None
        if type(instant) is not int:
            raise ExchangeUnavailable("the exchange's answer has no server time")
        if not EARLIEST_MS <= instant < LATEST_MS:  # a clock in another unit would make every candle count as closed
            raise ExchangeUnavailable(f"the exchange's time {instant} is not in milliseconds between 2017 and 2100")
        return instant

    async def reading(self) -> clock.Reading:
        """One reading of the exchange's clock, assigned to the middle of the round trip."""
        before = clock.wall_ms()
        market_ms = await self.server_time()
        return clock.Reading((before + clock.wall_ms()) // 2, market_ms, base_url=self.api_url)

    async def klines(self, symbol: str, start_ms: int, end_ms: int, limit: int = PAGE) -> Page:
        """The first candles opening in ``[start_ms, end_ms)``; `end_ms` must exclude the open one."""
        raw = await self._call(
            "get_klines", symbol=symbol, interval=INTERVAL, startTime=start_ms, endTime=end_ms - 1, limit=limit
        )
        try:
            rows, refused = parse_kline_page(raw, start_ms, end_ms, limit)
        except MalformedCandle as error:
            error.raw = raw
            raise
        off_grid = [(row, at) for row, _ in refused if (at := off_grid_open(row)) and start_ms <= at < end_ms]
        apart = {id(row) for row, _ in off_grid}
        rejected = [(row, reason) for row, reason in refused if id(row) not in apart]
        return Page(rows, rejected, off_grid, early_closes(raw, rows), len(raw) >= limit)

    async def newest_kline(self, symbol: str, end_ms: int) -> Page:
        """The last candle that opened before `end_ms`."""
        raw = await self._call("get_klines", symbol=symbol, interval=INTERVAL, endTime=end_ms - 1, limit=1)
        return Page(*parse_kline_page(raw, EARLIEST_MS, end_ms, 1), [], {}, is_full=True)

    async def exchange_info(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Trading status by symbol (`statuses`) and the request weight per minute (`weight_limit`)."""
        # The library percent-encodes `symbol` and nothing else.
        listed = quote(json.dumps(list(symbols), separators=(",", ":"), ensure_ascii=False))
        named = {"symbols": listed} if symbols else {}
        answer = await self._call("_get", "exchangeInfo", data=named)
        try:
            limits = [
                rule["limit"]
                for rule in answer["rateLimits"]
                if rule["rateLimitType"] == "REQUEST_WEIGHT" and rule["interval"] == "MINUTE"
            ]
            statuses = {str(entry["symbol"]): str(entry["status"]) for entry in answer["symbols"]}
        except (KeyError, TypeError) as error:
            raise ExchangeUnavailable("the exchange described itself in an unknown form") from error
        return {"statuses": statuses, "weight_limit": int(limits[0]) if limits else None}

    async def stream(self, symbols: Sequence[str]) -> AsyncIterator[Any]:
        """Yield every message except those of open candles; ends or raises when the socket closes.

        None is yielded for a connected socket that received no message about a closed candle.
        """
        url = self.stream_host = hosts.available(self.stream_url.rstrip("/"))[0]
        bound = self._library(stream_url=f"{url}/")
        manager = bound.Streams(self._client(hosts.available(self.api_url)[0]), max_queue_size=QUEUE_SIZE)
        socket = manager.multiplex_socket([f"{symbol.lower()}@kline_{INTERVAL}" for symbol in symbols])
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await socket.connect()
        except (OSError, TimeoutError, bound.SocketError) as error:
            hosts.cool_down(url)
            raise ExchangeUnavailable(f"no stream at {url}: {_summary(error)}") from error
        try:
            yield None  # connected: from here on no message of these symbols can be missed
            async for message in socket.messages():
                yield message
        finally:
            await socket.close()

    def _library(self, api_url: str = "", stream_url: str = "") -> Any:
        stream_url = stream_url or self.stream_url
        return library(api_url or self.api_url, stream_url, direct=is_loopback(stream_url))

    def _client(self, host: str) -> Any:
        if host not in self._clients:
            self._clients[host] = self._library(host).Rest(
                requests_params={"timeout": TIMEOUT_SECONDS},
                session_params={"trust_env": not is_loopback(host)},
            )
        return self._clients[host]

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Send one request to the first host that responds; a ban applies to all hosts."""
        candidates = hosts.available(self.api_url)
        for host in candidates:
            try:
                return await self._call_host(host, method, *arguments, **options)
            except ExchangeBanned:
                raise
            except ExchangeUnavailable:
                hosts.cool_down(host)
                if host == candidates[-1]:
                    raise
        raise AssertionError("there is always a host")

    async def _call_host(self, host: str, method: str, *arguments: Any, **options: Any) -> Any:
        """Send one request to one host; every failure raises an error of this app."""
        rest, bound = self._client(host), self._library(host)
        try:
            return await getattr(rest, method)(*arguments, **options)
        except bound.APIError as error:
            raise to_error(error.status_code, error.code, str(error.message), _headers(error.response)) from error
        except bound.RequestError as error:
            raise UnreadableAnswer(f"the exchange's answer is not JSON: {str(error)[:120]}", error.raw) from error
        except bound.BodyError as error:
            raise UnreadableAnswer(f"the exchange's answer broke off: {_summary(error)}") from error
        except (OSError, TimeoutError, bound.HTTPError) as error:
            raise ExchangeUnavailable(f"the exchange at {host} did not answer: {_summary(error)}") from error
        finally:
            seen = _headers(rest.response).get("X-MBX-USED-WEIGHT-1M", "")
            if seen.isascii() and seen.isdigit() and len(seen) < 10:
                self.used_weight = int(seen)


def to_error(status: int, code: object, message: str, headers: dict[str, str]) -> MarketDataError:
    """Error of this app for an HTTP status and the exchange's own code."""
    if status in {418, 429}:
        return ExchangeBanned(_ban_end_ms(message, headers), f"HTTP {status}: {message[:150]}")
    if status == 400 and code == _UNKNOWN_SYMBOL:
        return UnknownSymbol("the exchange does not know this symbol")
    is_its_own = isinstance(code, int) and code < 0  # a proxy or a firewall has no such code
    if status == 403 or status >= 500 or not is_its_own or code in _TRANSIENT:
        return ExchangeUnavailable(f"HTTP {status}, code {code}: {message[:150]}")
    return MarketDataError(f"the exchange refused: HTTP {status}, code {code}: {message[:150]}")


def _ban_end_ms(message: str, headers: dict[str, str]) -> int:
    """Wall time (ms) at which a ban ends; by default a minute from now."""
    now = clock.wall_ms()
    after = headers.get("Retry-After", "")
    if after.isascii() and after.isdigit() and len(after) < 8:
        wait = int(after) * 1000
    elif match := _BANNED_UNTIL.search(message):
        wait = round((int(match[1]) - clock.market_ms()) / max(clock.market_rate(), 1.0))
    else:
        wait = 60_000
    return now + max(1_000, min(wait, MAX_BAN_MS))


def _headers(response: Any) -> dict[str, str]:
    return {} if response is None else {str(name): str(text) for name, text in response.headers.items()}


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()[:150]
