"""uvicorn's websocket protocol with a way to write ready frames.

A signal is encoded once for all its subscribers; ASGI's `send` would encode it for each of them. The Dockerfile names
this class (`--ws`), and `up` uses it too; under another protocol signals go through `send`.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from signals.delivery.protocol import WRITE_READY


class ReadyFrameProtocol(WebSocketsSansIOProtocol):
    """A websocket that writes ready frames between those of ASGI's `send`."""

    def handle_connect(self, event: Request) -> None:
        """Offer the way in the scope of an accepted handshake."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][WRITE_READY] = self.write_ready  # type: ignore[index, assignment]

    def write_ready(self, frame: bytes) -> bool:
        """Write the bytes of one frame if nothing waits for the client; returns whether it did."""
        if not self.writable.is_set() or self.conn.state is not State.OPEN or not self.handshake_complete:
            return False
        self.transport.write(frame)
        return True
