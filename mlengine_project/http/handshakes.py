"""ASGI middleware that opens websockets on one path only."""

from mlengine_project.http.asgi_types import Application, AsgiScope, Receive, Send
from mlengine_project.http.errors import Answer
from mlengine_project.http.limits import error_form, url_refusal, with_plain_cookies
from mlengine_project.operations.logs.structured import log_request

UNKNOWN_PATH = Answer(404, "NotFound", "There is nothing here.")


class Handshakes:
    """Refuses other websockets and invalid URLs with a standard error answer."""

    def __init__(self, path: str, application: Application) -> None:
        self.path, self.application = path, application

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Accept or refuse a websocket handshake."""
        refusal = url_refusal(scope) or (UNKNOWN_PATH if scope["path"] != self.path else None)
        if refusal is None:
            await self.application(with_plain_cookies(scope), receive, send)
            return
        await receive()  # websocket.connect
        log_request("WEBSOCKET", scope["path"], refusal.status, 0.0)
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        headers, content = error_form(scope, refusal)
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": pairs})
        await send({"type": "websocket.http.response.body", "body": content})
