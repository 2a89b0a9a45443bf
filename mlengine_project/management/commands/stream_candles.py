"""Follow the exchange's live feed."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketdata import services
from marketdata.feed import supervisor
from mlengine_project.operations.monitoring import heartbeats
from mlengine_project.operations.monitoring.background_refresher import refresher
from signals.services import advance


class Command(BaseCommand):
    """The feed process: receives closed candles of the exchange and advances them at once."""

    help = "Follow the live feed and advance at every close; needs REDIS_URL (run `up` without it)."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Run until stopped."""
        if settings.EMBEDDED:
            raise CommandError("stream_candles needs REDIS_URL to reach the other processes; `up` runs without it.")
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        self.stdout.write(f"following {settings.BINANCE_STREAM_URL}; Ctrl-C stops")
        refresher.start()
        try:
            supervisor.run(
                services.enabled_markets,
                lambda frames: advance(frames=frames),
                stop,
                beat=heartbeats.record_stream,
            )
        finally:
            refresher.stop()
            heartbeats.remove("stream")
