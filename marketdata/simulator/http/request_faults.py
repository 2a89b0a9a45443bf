"""Applying request faults: wrong responses, and correct ones delayed or truncated."""

from __future__ import annotations

import asyncio
import math

from aiohttp import web

from marketdata import clock
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.limits import Verdict, WeightMeter
from marketdata.simulator.http.refusals import FIREWALL_PAGE, MAINTENANCE_PAGE, Refusal, over_limit

SERVER_ERRORS = {
    500: (-1000, "An unknown error occurred while processing the request."),
    502: (-1001, "Internal error; unable to process your request. Please try again."),
    503: (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    504: (-1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
}


def wrong_response(fault: Fault, request: web.Request, meter: WeightMeter) -> web.Response | None:
    """The wrong response of a fault; None if it only affects sending."""
    response = None
    match fault.kind:
        case "rate_limited":
            response = _refused(429, fault, meter)
        case "banned":
            meter.ban(fault.seconds)
            response = _refused(418, fault, meter)
        case "forbidden":
            response = web.Response(text=FIREWALL_PAGE, status=403, content_type="text/html")
        case "html":
            response = web.Response(text=MAINTENANCE_PAGE, content_type="text/html")
        case "server_error":
            code, message = SERVER_ERRORS.get(fault.status, SERVER_ERRORS[500])
            response = Refusal(code, message, fault.status).response()
        case "symbol_error":
            response = Refusal(-1121, "Invalid symbol.").response()
        case "refused":
            if request.transport is not None:
                request.transport.abort()
            response = web.Response()
    return response


def _refused(status: int, fault: Fault, meter: WeightMeter) -> web.Response:
    until_ms = clock.wall_ms() + int(fault.seconds * 1000)
    meter.count_violations_until(until_ms)
    return over_limit(Verdict(0, status, math.ceil(fault.seconds), until_ms), meter.limits.weight_per_minute)


async def send_with_fault(fault: Fault, request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send the response, delayed or truncated as the fault requires."""
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    elif fault.kind in {"dripping", "truncated"} and isinstance(response.body, bytes):
        return await _in_pieces(fault, request, response, response.body)
    return response


async def _in_pieces(fault: Fault, request: web.Request, response: web.Response, body: bytes) -> web.StreamResponse:
    started = web.StreamResponse(status=response.status, headers=response.headers)
    started.content_length = len(body)
    await started.prepare(request)
    if fault.kind == "truncated":
        await started.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return started
    size = -(-len(body) // 10) or 1
    for begin in range(0, len(body), size):
        await asyncio.sleep(fault.seconds / 10)
        await started.write(body[begin : begin + size])
    await started.write_eof()
    return started
