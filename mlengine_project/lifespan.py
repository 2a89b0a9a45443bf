"""What a web process does when it starts and before it ends."""

from typing import Any

from asgiref.sync import sync_to_async

from mlengine_project.operations import heartbeats
from mlengine_project.operations.measures import measures


class Lifespan:
    """Answers the server's lifespan events: a heartbeat runs while the process serves."""

    async def __call__(self, _scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Start on startup, stop on shutdown."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                heartbeats.start("web")
                measures.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await sync_to_async(measures.stop)()
                await sync_to_async(heartbeats.stop)("web")
                await send({"type": "lifespan.shutdown.complete"})
                return
