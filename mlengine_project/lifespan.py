"""Start-up and shutdown of a web process."""

import asyncio
from importlib import import_module
from typing import Any

import structlog
from asgiref.sync import sync_to_async

from mlengine_project.operations.monitoring import heartbeats
from mlengine_project.operations.monitoring.background_refresher import refresher
from mlengine_project.operations.monitoring.counters import measures

START_SECONDS = 60.0
"""Wait for the champions; after it the process accepts connections, but is not ready."""

log = structlog.get_logger(__name__)


class Lifespan:
    """ASGI lifespan application; no connection is accepted before the champions are loaded."""

    async def __call__(self, _scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Start on startup, stop on shutdown."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                heartbeats.start("web")
                measures.start()
                refresher.start()
                # In a thread: the event loop stays free while libraries and champions load.
                await asyncio.to_thread(
                    import_module, "talib"
                )  # imports pandas, so that the first /indicators does not wait for it
                if not await asyncio.to_thread(refresher.wait_for_first_round, START_SECONDS):
                    log.warning("serving_without_champions", seconds=START_SECONDS)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                refresher.stop()
                await sync_to_async(measures.stop)()
                await sync_to_async(heartbeats.stop)("web")
                await send({"type": "lifespan.shutdown.complete"})
                return
