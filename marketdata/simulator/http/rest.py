"""The simulator's REST API: ping, time, exchangeInfo and klines."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
from aiohttp import web

from marketdata.exchange.parsing import is_symbol
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.faults import REQUEST_FAULTS
from marketdata.simulator.http.exchange_info import exchange_info
from marketdata.simulator.http.klines_page import Page
from marketdata.simulator.http.limits import WEIGHTS, WeightMeter
from marketdata.simulator.http.refusals import Refusal, over_limit
from marketdata.simulator.http.request_faults import send_with_fault, wrong_response
from marketdata.simulator.venue import Venue

SYMBOL_RANGE = "^[\\w\\-._&&[^a-z]]{1,20}$"
NUMBER_RANGE = "^[0-9]{1,20}$"
KLINE_PARAMETERS = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
# Supported multiples of five minutes; the real exchange also has 1s, 1m, 3m, 3d, 1w and 1M.
SPANS = {"5m": 1, "15m": 3, "30m": 6, "1h": 12, "2h": 24, "4h": 48, "6h": 72, "8h": 96, "12h": 144, "1d": 288}
PAGE_DEFAULT, PAGE_LIMIT = 500, 1000


class RestApi:
    """Request handlers of one venue."""

    def __init__(self, venue: Venue, meter: WeightMeter) -> None:
        self.venue = venue
        self.meter = meter
        self.requests = 0

    def routes(self) -> list[web.RouteDef]:
        """Routes of the supported paths; all others are 404."""
        answers = {
            "ping": self.ping,
            "time": self.time,
            "exchangeInfo": self.exchange_info,
            "klines": self.klines,
            "uiKlines": self.klines,
        }
        return [web.get(f"/api/v3/{name}", self._metered(name, answer)) for name, answer in answers.items()]

    def _metered(self, name: str, answer: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            now_ms = self.venue.clock.now_ms()
            symbol = request.query.get("symbol", "")  # a fault of one symbol does not affect requests without one
            fault = self.venue.faults.trigger(REQUEST_FAULTS, now_ms, symbol, request.path)
            verdict = self.meter.charge(WEIGHTS[name])
            if verdict.status != 200:
                response = over_limit(verdict, self.meter.limits.weight_per_minute)
            elif fault and (wrong := wrong_response(fault, request, self.meter)):
                response = wrong
            else:
                try:
                    body = orjson.dumps(answer(request.query, now_ms, fault.kind if fault else ""))
                    response = web.Response(body=body, content_type="application/json", charset="UTF-8")
                except Refusal as refusal:
                    response = refusal.response()
            response.headers["X-MBX-USED-WEIGHT"] = str(verdict.used_weight)
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(verdict.used_weight)
            return await send_with_fault(fault, request, response) if fault else response

        return handle

    def ping(self, query: Any, now_ms: int, fault: str) -> dict[str, Any]:  # noqa: ARG002
        """Empty object."""
        return {}

    def time(self, query: Any, now_ms: int, fault: str) -> dict[str, Any]:  # noqa: ARG002
        """Market time."""
        return {"serverTime": now_ms * 1000 if fault == "microseconds" else now_ms}

    def exchange_info(self, query: Any, now_ms: int, fault: str) -> dict[str, Any]:  # noqa: ARG002
        """Limits and the rules of all symbols, one, or a JSON list of them."""
        _only(query, ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"))
        if "symbol" in query and "symbols" in query:
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        wanted: tuple[str, ...] = self.venue.symbols
        if "symbol" in query:
            wanted = (self._symbol(query),)
        elif "symbols" in query:
            wanted = tuple(self._known(symbol) for symbol in _json_list(query["symbols"]))
        halted = {symbol for symbol in wanted if self.venue.candles.is_halted(symbol, now_ms)}
        return exchange_info(wanted, now_ms, self.meter.limits, halted)

    def klines(self, query: Any, now_ms: int, fault: str) -> list[list[Any]]:
        """One page of candles, oldest first, including the open one."""
        _only(query, KLINE_PARAMETERS)
        symbol = self._symbol(query)
        interval = query.get("interval")
        if not interval:
            raise Refusal(-1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        if interval not in SPANS:
            raise Refusal(-1120, "Invalid interval.")
        limit = _number(query, "limit")
        if limit == 0:
            raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        page = Page(
            symbol=symbol,
            span_ms=SPANS[interval] * INTERVAL_MS,
            start_ms=_number(query, "startTime"),
            end_ms=_number(query, "endTime"),
            limit=min(limit or PAGE_DEFAULT, PAGE_LIMIT),
        )
        return page.rows(self.venue.candles, now_ms, fault)

    def _symbol(self, query: Any) -> str:
        symbol = query.get("symbol")
        if symbol is None:
            raise Refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not symbol:
            raise Refusal(-1105, "Parameter 'symbol' was empty.")
        return self._known(symbol)

    def _known(self, symbol: str) -> str:
        if not is_symbol(symbol) and not re.fullmatch(r"[A-Z0-9_.-]{1,20}", symbol):
            raise Refusal(-1100, _illegal("symbol", SYMBOL_RANGE))
        if symbol not in self.venue.symbols:
            raise Refusal(-1121, "Invalid symbol.")
        return symbol


def _only(query: Any, known: tuple[str, ...]) -> None:
    read = sum(name in known for name in query)
    if read < len(query):
        raise Refusal(
            -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(query)}'."
        )


def _number(query: Any, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text:
        raise Refusal(-1105, f"Parameter '{name}' was empty.")
    if not re.fullmatch(r"[0-9]{1,20}", text, re.ASCII):
        raise Refusal(-1100, _illegal(name, NUMBER_RANGE))
    return int(text)


def _json_list(text: str) -> list[str]:
    try:
        symbols = json.loads(text)
    except ValueError:
        symbols = None
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols) or not symbols:
        raise Refusal(-1100, _illegal("symbols", SYMBOL_RANGE))
    return symbols


def _illegal(name: str, legal: str) -> str:
    return f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
