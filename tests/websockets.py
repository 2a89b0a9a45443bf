"""Websocket test client for an ASGI application, without a server."""

from asgiref.testing import ApplicationCommunicator


class WebsocketCommunicator(ApplicationCommunicator):
    """Websocket client: connect, send, receive.

    `channels.testing` has the same class but needs a server that is not installed.
    """

    def __init__(self, application, path, headers=()):
        self.scope = {
            "type": "websocket", "path": path, "query_string": b"", "headers": list(headers), "subprotocols": [],
            "scheme": "ws",
        }  # fmt: skip
        super().__init__(application, self.scope)

    async def connect(self, timeout=3):
        await self.send_input({"type": "websocket.connect"})
        event = await self.receive_output(timeout)
        return event["type"] == "websocket.accept", event

    async def send_to(self, text_data=None, bytes_data=None):
        await self.send_input({"type": "websocket.receive", "text": text_data, "bytes": bytes_data})

    async def disconnect(self, code=1000, timeout=3):
        await self.send_input({"type": "websocket.disconnect", "code": code})
        await self.wait(timeout)
