"""What a web process does when it starts and before it ends."""

import asyncio
from importlib import import_module
from typing import Any

import structlog
from asgiref.sync import sync_to_async

from mlengine_project.operations import heartbeats
from mlengine_project.operations.companion import companion
from mlengine_project.operations.measures import measures

START_SECONDS = 60.0
"""A process that has not loaded its champions by then takes connections all the same, and is not ready."""

log = structlog.get_logger(__name__)


class Lifespan:
    """Answers the server's lifespan events: no connection is taken before the champions are loaded."""

    async def __call__(self, _scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Start on startup, stop on shutdown."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                heartbeats.start("web")
                measures.start()
                companion.start()
                # In a thread: the event loop stays free while libraries and champions load.
                await asyncio.to_thread(
                    import_module, "talib"
                )  # with pandas: what the first /indicators would wait for
                if not await asyncio.to_thread(companion.wait_for_first_round, START_SECONDS):
                    log.warning("serving_without_champions", seconds=START_SECONDS)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                companion.stop()
                await sync_to_async(measures.stop)()
                await sync_to_async(heartbeats.stop)("web")
                await send({"type": "lifespan.shutdown.complete"})
                return
