"""Error responses of the exchange in the documented form."""

from __future__ import annotations

from aiohttp import web

from marketdata.simulator.http.limits import Verdict

FIREWALL_PAGE = (
    "<html>\n<head><title>403 Forbidden</title></head>\n<body>\n"
    "<center><h1>403 Forbidden</h1></center>\n</body>\n</html>\n"
)
MAINTENANCE_PAGE = "<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>\n"


class Refusal(Exception):
    """A request that is answered with an error code."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def response(self) -> web.Response:
        """Response with status and JSON body."""
        return web.json_response({"code": self.code, "msg": self.message}, status=self.status)


def over_limit(verdict: Verdict, limit: int) -> web.Response:
    """Response 429 or 418 with the seconds to wait."""
    message = (
        f"Way too much request weight used; IP banned until {verdict.until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
        if verdict.status == 418
        else f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    response = Refusal(-1003, message, verdict.status).response()
    response.headers["Retry-After"] = str(verdict.retry_after_seconds)
    return response
